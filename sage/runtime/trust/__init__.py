"""Trust in each source, estimated from how well its readings agree with the prediction and the other
sources.
"""
