"""The driver that owns a sensor: inline, in a thread or in a process of its own."""
