"""The metrics store: one SQLite file that holds every session's ticks, nights and events."""
