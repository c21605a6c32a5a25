"""What a reasoning model is trained on: puzzles with one small contract.

Invariant: importing this package imports no torch; a task speaks numpy, a trainer turns it into tensors.
"""
