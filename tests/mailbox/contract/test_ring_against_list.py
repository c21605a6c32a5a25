"""The ring against a list: whatever is pushed, popped, joined and left in whatever order."""

import itertools
import os

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from sage.mailbox import RECORD, ManualClock, PeripheralMailbox
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain

CAPACITY = 4
_numbers = itertools.count()


def _records(first, num):
    batch = np.zeros(num, dtype=RECORD)
    batch["sequence"], batch["kind"], batch["length"] = np.arange(first, first + num), 2, 192
    batch["payload"] = (batch["sequence"][:, None] * 7 + np.arange(192, dtype=np.uint64)) % 251
    return batch


class RingAgainstList(RuleBasedStateMachine):
    """`num_pushed` stands for the list, because a record's number is its place; `places`: each reader's
    position.
    """

    readers = Bundle("readers")

    def make_ring(self, mode):
        return PeripheralMailbox("ring", clock=ManualClock(), capacity=CAPACITY, mode=mode)

    @initialize(mode=st.sampled_from(["lossy", "lossless"]))
    def open(self, mode):
        self.ring, self.num_pushed, self.places, self.num_refused = self.make_ring(mode), 0, {}, 0

    def _room(self, num_wanted):
        if self.ring.mode == "lossy":
            return num_wanted
        return min(
            num_wanted, CAPACITY - self.num_pushed + min(self.places.values(), default=self.num_pushed)
        )

    @rule()
    def push(self):
        room = min(self._room(1), 1)
        assert self.ring.push(_records(self.num_pushed, 1)) == bool(room)
        self._count(room, 1)

    @rule(num=st.integers(0, 2 * CAPACITY + 1))
    def push_many(self, num):
        if self.ring.mode == "lossless" and not self.places:
            num = min(num, CAPACITY)
            room = num
        else:
            room = self._room(num)
        assert self.ring.push_many(_records(self.num_pushed, num)) == room
        self._count(room, num)

    def _count(self, room, num):
        self.num_pushed += room
        self.num_refused += num - room
        found = self.ring.statistics()
        assert (found.pushed, found.refused) == (self.num_pushed, self.num_refused)

    @rule(target=readers, start=st.sampled_from(["latest", "oldest"]))
    def subscribe(self, start):
        reader = self.ring.subscribe(start=start)
        oldest = max(0, self.num_pushed - CAPACITY)
        self.places[reader] = self.num_pushed if start == "latest" else oldest
        return reader

    @rule(reader=readers, num=st.integers(1, CAPACITY + 2))
    def pop(self, reader, num):
        batch = reader.pop_many(num)
        first = max(self.places[reader], self.num_pushed - CAPACITY)
        last = min(self.num_pushed, first + num)
        assert batch.lost == first - self.places[reader]
        expected = _records(first, last - first)
        assert batch.records["sequence"].tolist() == expected["sequence"].tolist()
        np.testing.assert_array_equal(batch.records["payload"], expected["payload"])
        if len(batch):
            assert batch.first_ticket == first
        self.places[reader] = last

    @rule(reader=consumes(readers))
    def leave(self, reader):
        reader.close()
        del self.places[reader]

    def teardown(self):
        if hasattr(self, "ring"):
            self.ring.close()


class SharedRingAgainstList(RingAgainstList):
    def make_ring(self, mode):
        engine = "plain" if why_plain() else None
        name = f"test.{os.getpid()}.list{next(_numbers)}"
        return SharedPeripheral.create(name, clock=ManualClock(), capacity=CAPACITY, mode=mode, engine=engine)

    def teardown(self):
        if hasattr(self, "ring"):
            self.ring.unlink()
        super().teardown()


for machine in (RingAgainstList, SharedRingAgainstList):
    machine.TestCase.settings = settings(
        max_examples=25, stateful_step_count=25, deadline=None, derandomize=True, database=None
    )
TestRingAgainstList = RingAgainstList.TestCase
TestSharedRingAgainstList = SharedRingAgainstList.TestCase
