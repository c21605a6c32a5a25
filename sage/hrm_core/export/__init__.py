"""Models for other runtimes: one segment as ONNX, in fp32 or int8.

Invariant: an exported file is compared with its model before it is reported as written.
"""
