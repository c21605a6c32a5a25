"""Coherence, measured: bias-corrected estimators, their null distributions, a monitor of a running loop."""
