"""How long a process has made no step.

Invariant: only time in which this side looked counts, so that a process is not taken for hung after the
session itself was stopped, or the machine with both.
"""

from __future__ import annotations

#: Between two looks at most so much counts.
LONGEST_GAP_NS = 1_000_000_000


class Stillness:
    """Of a count that a process raises at each step."""

    def __init__(self) -> None:
        self._count = -1
        self._looked_ns = 0
        self._still_ns = 0

    def restart(self, now_ns: int) -> None:
        """From now on another process counts."""
        self._count, self._looked_ns, self._still_ns = -1, now_ns, 0

    def look(self, count: int, now_ns: int) -> float:
        """Seconds since the count was last found changed."""
        gap_ns = min(now_ns - self._looked_ns, LONGEST_GAP_NS)
        self._looked_ns = now_ns
        if count != self._count:
            self._count, self._still_ns = count, 0
        else:
            self._still_ns += gap_ns
        return self._still_ns * 1e-9
