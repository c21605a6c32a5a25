"""Evaluation of models: accuracy by depth, halting, calibration, baselines, sensitivity.

Invariant: every report has the interval of its accuracy, a trivial baseline and the input sensitivity.
"""
