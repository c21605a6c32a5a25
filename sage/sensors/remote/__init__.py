"""Sources of another host: readings over zenoh, with ages on one clock and lost readings counted."""
