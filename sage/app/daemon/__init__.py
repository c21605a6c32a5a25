"""A session as a service: its states, the service manager's watchdog, signals, the unit file, guards."""
