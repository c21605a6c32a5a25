"""Where a tick's time went. Performance counter, never facts: two equal runs differ here alone."""

from __future__ import annotations

import time

from sage.runtime.report import TickTiming


class Stopwatch:
    """Laps since construction, in ns."""

    def __init__(self) -> None:
        self._started_ns = self._last_ns = time.perf_counter_ns()
        self._stages: list[tuple[str, int]] = []

    def lap(self, stage: str) -> None:
        """What passed since the last lap was `stage`."""
        now_ns = time.perf_counter_ns()
        self._stages.append((stage, now_ns - self._last_ns))
        self._last_ns = now_ns

    def timing(self, model_ns: int, period_ns: int) -> TickTiming:
        total_ns = self._last_ns - self._started_ns
        return TickTiming(
            total_ns=total_ns, stages=tuple(self._stages), model_ns=model_ns, is_overrun=total_ns > period_ns
        )
