"""A remote robot policy as a sensor and an effector: NVIDIA Isaac GR00T's protocol, and openpi's."""
