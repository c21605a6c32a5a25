"""What ends a run: a model that stays not finite, memory beyond the limit, an emergency stop.

A source's fault is never a crisis: sources are quarantined and come back.
"""

from __future__ import annotations

import psutil

MAX_NONFINITE = 3
EVERY_TICKS = 100


class CrisisWatch:
    """Watches the process; `check` names the crisis, or is empty."""

    def __init__(self, max_resident_bytes: int) -> None:
        self._max_resident_bytes = max_resident_bytes
        self._process = psutil.Process()
        self._num_nonfinite = 0
        self._emergency = ""

    def note_model(self, is_finite: bool) -> None:
        self._num_nonfinite = 0 if is_finite else self._num_nonfinite + 1

    def emergency_stop(self, reason: str) -> None:
        self._emergency = reason

    def check(self, tick: int) -> str:
        """The crisis, in a few words; memory is looked at every hundredth tick."""
        if self._emergency:
            return f"emergency stop: {self._emergency}"
        if self._num_nonfinite >= MAX_NONFINITE:
            return f"the model was not finite {self._num_nonfinite} ticks in a row"
        if tick % EVERY_TICKS == 0:
            resident = self._process.memory_info().rss
            if resident > self._max_resident_bytes:
                return f"{resident >> 20} MiB resident, the limit is {self._max_resident_bytes >> 20} MiB"
        return ""
