"""Models for machines without torch's Python: one segment as ONNX, in fp32 or int8, and a solver's view of
such a file.

Invariant: an exported file is checked against the model it came from before anybody relies on it.
"""
