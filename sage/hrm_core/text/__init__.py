"""Text generation with causal models: HRM, and a GPT baseline of the same size and layers.

Invariant: the generated text is the same with and without the cache.
"""
