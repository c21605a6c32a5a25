"""Solving with real adaptive computation time: rows halt when they are done, and others take their place.

Invariant: what a puzzle gets depends on its cells, the settings and the seed, never on the batch it was
solved in. Importing this package imports no torch.
"""
