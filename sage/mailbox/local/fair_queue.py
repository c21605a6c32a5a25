"""The waiting messages of a focus mailbox: first in, first out by producer, fair between producers.

Deficit round robin (Shreedhar & Varghese 1995) with one message as the unit and the first message's trust as
the quantum: trust is a weight, not an absolute priority. Invariant: a producer is in `_turns` exactly while
it has messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from sage.mailbox.local.slot import Slot
from sage.mailbox.options import ROUNDS_WITHOUT_TRUST


class FairQueue:
    """Not thread-safe: called with the mailbox's lock held."""

    __slots__ = ("_deficits", "_queues", "_turns", "depth")

    def __init__(self) -> None:
        self._queues: dict[int, deque[Slot]] = {}
        self._deficits: dict[int, float] = {}
        self._turns: deque[int] = deque()
        self.depth = 0

    def __iter__(self) -> Iterator[Slot]:
        """All messages, in unspecified order."""
        return (slot for queue in self._queues.values() for slot in queue)

    def append(self, slot: Slot) -> None:
        queue = self._queues.get(slot.producer)
        if queue is None:
            queue = self._queues[slot.producer] = deque()
        if not queue:
            self._turns.append(slot.producer)
            self._deficits[slot.producer] = 0.0
        queue.append(slot)
        self.depth += 1

    def pop(self) -> Slot | None:
        """Remove and return the next message, or None."""
        if not self.depth:
            return None
        turns, deficits = self._turns, self._deficits
        while len(turns) > 1:
            producer = turns[0]
            deficits[producer] += max(self._queues[producer][0].trust, 1.0 / ROUNDS_WITHOUT_TRUST)
            if deficits[producer] >= 1.0:
                deficits[producer] -= 1.0
                turns.rotate(-1)
                break
            turns.rotate(-1)
        else:
            producer = turns[0]
        slot = self._queues[producer].popleft()
        self._has_left(producer)
        return slot

    def remove(self, slot: Slot) -> None:
        self._queues[slot.producer].remove(slot)
        self._has_left(slot.producer)

    def oldest(self, producer: int | None = None) -> Slot | None:
        """The first published message, of all or of one producer; None if there is none."""
        if producer is not None:
            queue = self._queues.get(producer)
            return queue[0] if queue else None
        heads = (queue[0] for queue in self._queues.values() if queue)
        return min(heads, key=lambda slot: slot.order, default=None)

    def least_trusted(self, producer: int | None = None) -> Slot | None:
        """The message with the lowest trust, the older of equals; of all or of one producer."""
        slots = self if producer is None else self._queues.get(producer, ())
        return min(slots, key=lambda slot: (slot.trust, slot.order), default=None)

    def freshest(self) -> Slot | None:
        """The message with the latest stamp, the later published of equals."""
        return max(self, key=lambda slot: (slot.stamp_ns, slot.order), default=None)

    def _has_left(self, producer: int) -> None:
        self.depth -= 1
        if not self._queues[producer]:
            self._turns.remove(producer)
