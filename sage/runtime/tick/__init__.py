"""The phases of one tick, one module each: sense, attend, fuse, reason, act, remember, report."""
