"""Solving with adaptive computation time: a row that halts leaves the batch, and a waiting puzzle takes its
place.

Invariant: a result depends on the puzzle, the settings and the seed; on the batch only by the rounding of a
matrix product, which varies with the batch's shape and the processor. Equal shapes on one machine give equal
bits. Importing this package imports no torch.
"""
