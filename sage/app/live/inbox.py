"""Reports that wait for the thread that shows them.

Invariant: bounded; one append a report on the loop's thread. Of reports beyond the capacity, the oldest, only
the totals are kept.
"""

from __future__ import annotations

import threading
from collections import deque

from sage.app.live.totals import LiveTotals
from sage.runtime.report import Event, SleepReport, TickReport

CAPACITY = 1024
Item = TickReport | SleepReport | Event
_NOTHING = LiveTotals()


class Inbox:
    """`put` on the loop's thread, `take` on any other."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()  # held for one removal
        self._skipped = LiveTotals()

    def put(self, item: Item) -> None:
        """The oldest is skipped where there is no room."""
        with self._lock:
            if len(self._items) >= CAPACITY:
                self._skipped.take(self._items.popleft())
            self._items.append(item)

    def take(self) -> tuple[LiveTotals, Item] | None:
        """The oldest, and the totals of what was skipped before it; None where nothing waits."""
        with self._lock:
            if not self._items:
                return None
            skipped = _NOTHING
            if self._skipped.has_any:
                skipped, self._skipped = self._skipped, LiveTotals()
            return skipped, self._items.popleft()

    def __len__(self) -> int:
        return len(self._items)
