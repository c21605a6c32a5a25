"""Duration of a tick's stages, by the performance counter; never part of the facts."""

from __future__ import annotations

import time

from sage.runtime.report import TickTiming


class Stopwatch:
    """Laps since construction, in ns."""

    def __init__(self) -> None:
        self._started_ns = self._last_ns = time.perf_counter_ns()
        self._stages: list[tuple[str, int]] = []

    def lap(self, stage: str) -> None:
        """End `stage`, which started at the last lap."""
        now_ns = time.perf_counter_ns()
        self._stages.append((stage, now_ns - self._last_ns))
        self._last_ns = now_ns

    def timing(self, model_ns: int, period_ns: int) -> TickTiming:
        total_ns = self._last_ns - self._started_ns
        return TickTiming(
            total_ns=total_ns, stages=tuple(self._stages), model_ns=model_ns, is_overrun=total_ns > period_ns
        )
