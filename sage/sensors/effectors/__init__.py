"""Effectors: devices that act. They return what they did, which need not be what they were asked."""
