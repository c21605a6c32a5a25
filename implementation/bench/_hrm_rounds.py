"""Contenders that take turns: a round runs each once, so that a busy moment of the machine strikes all alike.

Invariant: a ratio is the median over the rounds of that round's own ratio, in CPU time of all threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Timing:
    """What one contender took, a figure a round. share: the part of the work that was run, scaled to the
    whole.
    """

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    share: float = 1.0

    def describe(self) -> dict[str, Any]:
        return {
            "n": len(self.cpu_ms),
            "cpu_ms": statistics.median(self.cpu_ms),
            "wall_ms": statistics.median(self.wall_ms),
            "share_run": self.share,
        }


def take_turns(
    contenders: Mapping[str, Callable[[], object]], *, num_rounds: int, num_warm: int = 1, share: float = 1.0
) -> dict[str, Timing]:
    """`num_warm` unmeasured runs of each, then rounds. share: the part of the whole that a run is."""
    for _ in range(num_warm):
        for run in contenders.values():
            run()
    timings = {name: Timing(share=share) for name in contenders}
    for _ in range(num_rounds):
        for name, run in contenders.items():
            wall_secs, cpu_secs = time.perf_counter(), time.process_time()
            run()
            timings[name].cpu_ms.append((time.process_time() - cpu_secs) * 1e3 / share)
            timings[name].wall_ms.append((time.perf_counter() - wall_secs) * 1e3 / share)
    return timings


def speedup(timings: Mapping[str, Timing], of: str, over: str, *, clock: str = "cpu_ms") -> float | None:
    """How many times quicker `of` is than `over`; None where one of them did not run."""
    if of not in timings or over not in timings:
        return None
    pairs = zip(getattr(timings[over], clock), getattr(timings[of], clock))
    return statistics.median(slow / quick for slow, quick in pairs)
