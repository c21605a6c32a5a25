"""Data sets as folders in the layout of the published recipes: builders, checks, and the task that reads one.

Invariant: importing this package imports no torch.
"""
