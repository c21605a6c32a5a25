"""Effectors: devices that act. They return what they did, which may be less than was requested."""
