"""Data sets as folders, in the layout the published recipes use: built here or elsewhere, read the same.

Invariant: importing this package imports no torch; a folder that `check` accepts loads as a task.
"""
