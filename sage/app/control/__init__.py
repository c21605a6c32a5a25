"""The control socket: what a person asks of a running session from another terminal."""
