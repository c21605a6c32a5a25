"""Text: causal models write on, symbol by symbol. HRM and its plain twin, a GPT of the same parts.

Invariant: with and without a cache the same text comes out.
"""
