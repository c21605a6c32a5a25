"""Clients of policy servers: with time limits, a new connection after a failure, and validated replies."""
