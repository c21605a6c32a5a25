"""Trust in each source, from how its readings agree with the other sources and its own past."""
