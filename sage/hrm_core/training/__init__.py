"""Training by deep supervision: rows under ACT, one optimizer step for each segment, runs that resume bit for
bit.

Invariant: what a run will do next is a function of its checkpoint alone.
"""
