"""The phases of one tick, one module each: sense, appraise, attend, fuse, reason, act, remember, report."""
