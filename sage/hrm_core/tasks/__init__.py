"""What a reasoning model is trained on: puzzles with one small contract.

Invariant: importing this package imports no torch; a task uses numpy, a trainer converts it to tensors.
"""
