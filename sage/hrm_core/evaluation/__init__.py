"""How good a model is, and whether to believe it: accuracy by depth, halting, calibration, baselines,
sensitivity.

Invariant: an accuracy never stands alone: its interval, a trivial baseline and the input sensitivity stand
beside it.
"""
