"""A sensor in a process of its own: what its driver does there, crash or hang, costs its own readings
only.
"""
