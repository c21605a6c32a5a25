"""Totality: schemes (what is known), canvases (what is imagined from them), activations that decay.

Invariant: an operation that reports success changed the store; what is imagined is never stored as observed.
"""
