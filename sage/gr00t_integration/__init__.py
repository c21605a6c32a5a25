"""A remote robot policy as a sensor and an effector. Empty in this version: README.md beside this file says
what belongs here.
"""
