"""What ends a run: a model that stays not finite, and memory above the limit.

A fault of a source is never a crisis: the source is quarantined.
"""

from __future__ import annotations

import psutil

MAX_NONFINITE = 3
EVERY_TICKS = 100


class CrisisWatch:
    """`check` returns the crisis, or ""."""

    def __init__(self, max_resident_bytes: int) -> None:
        self.max_resident_bytes = max_resident_bytes
        self._process = psutil.Process()
        self._num_nonfinite = 0

    def note_model(self, is_finite: bool) -> None:
        self._num_nonfinite = 0 if is_finite else self._num_nonfinite + 1

    def check(self, tick: int) -> str:
        """The crisis in a few words; memory is checked every hundredth tick."""
        if self._num_nonfinite >= MAX_NONFINITE:
            return f"the model's output is not finite for {self._num_nonfinite} ticks in a row"
        if tick % EVERY_TICKS == 0:
            resident = self._process.memory_info().rss
            if resident > self.max_resident_bytes:
                limit = self.max_resident_bytes >> 20
                return f"{resident >> 20} MiB resident, max_resident_bytes is {limit} MiB"
        return ""
