"""Ideas of others as ordinary plug-ins. Empty in this version: README.md beside this file says what belongs
here.
"""
