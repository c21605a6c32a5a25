"""Optimizers (AdamATan2, Muon, AdamW, sign-SGD for the puzzle table), the average of weights (EMA) and the
learning-rate schedule.

Invariant: a step is one pass of multi-tensor calls on the weights' device; CUDA is not required.
"""
