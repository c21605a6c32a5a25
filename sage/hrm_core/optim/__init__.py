"""What moves weights: AdamATan2, Muon, AdamW, sign-SGD for the puzzle table, their average (EMA) and the
learning rate.

Invariant: a step is one pass of multi-tensor calls on whatever device the weights are; none of it needs CUDA.
"""
