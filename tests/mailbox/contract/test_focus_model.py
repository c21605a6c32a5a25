"""The focus mailbox against a list: whatever is loaned, published, received, dropped and released in whatever
order.
"""

import itertools
import os

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sage.compiled import has_compiler
from sage.mailbox import FocusMailbox, ManualClock
from sage.mailbox.shared import SharedFocus

NUM_SLOTS, TTL_NS = 3, 100
_numbers = itertools.count()


class FocusAgainstList(RuleBasedStateMachine):
    """policy drop_oldest with one producer; `waiting` is the list, (sequence, deadline), oldest first."""

    loans, leases, views = Bundle("loans"), Bundle("leases"), Bundle("views")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.box = self.make_box()
        self.waiting, self.num_loaned, self.num_leased, self.num_held = [], 0, 0, 0
        self.sequence = self.num_popped = self.num_dropped = 0

    def make_box(self):
        return FocusMailbox("box", clock=self.clock, slots=NUM_SLOTS, slot_bytes=64, debug=True)

    def _expire(self):
        fresh = [(s, d) for s, d in self.waiting if d is None or self.clock.now_ns() < d]
        self.num_dropped += len(self.waiting) - len(fresh)
        self.waiting = fresh

    @rule(target=loans)
    def loan(self):
        if self.num_loaned + self.num_leased + self.num_held + len(self.waiting) == NUM_SLOTS:
            self._expire()
        is_full = self.num_loaned + self.num_leased + self.num_held == NUM_SLOTS
        if not is_full and self.num_loaned + self.num_leased + self.num_held + len(self.waiting) == NUM_SLOTS:
            self.waiting.pop(0)
            self.num_dropped += 1
        loan = self.box.try_loan((4,))
        assert (loan is None) == is_full
        self.num_loaned += loan is not None
        return loan

    @rule(loan=consumes(loans), ttl_ns=st.sampled_from([None, TTL_NS, 3 * TTL_NS]))
    def publish(self, loan, ttl_ns):
        if loan is None:
            return
        self.sequence += 1
        loan.array[:] = self.sequence
        assert loan.publish(stamp_ns=self.sequence, sequence=self.sequence, ttl_ns=ttl_ns)
        self.num_loaned -= 1
        self.waiting.append((self.sequence, None if ttl_ns is None else self.clock.now_ns() + ttl_ns))

    @rule(loan=consumes(loans))
    def discard(self, loan):
        if loan is not None:
            loan.discard()
            self.num_loaned -= 1

    @rule(target=leases, newest=st.booleans())
    def receive(self, newest):
        lease = self.box.try_receive(newest=newest)
        if newest and len(self.waiting) > 1:
            self._expire()
            self.num_dropped += max(0, len(self.waiting) - 1)
            self.waiting = self.waiting[-1:]
        while self.waiting:
            sequence, deadline_ns = self.waiting.pop(0)
            if deadline_ns is None or self.clock.now_ns() < deadline_ns:
                assert lease is not None
                assert lease.meta.sequence == sequence
                self.num_leased += 1
                self.num_popped += 1
                return (lease, sequence)
            self.num_dropped += 1
        assert lease is None
        return None

    @rule(lease=leases)
    def read(self, lease):
        if lease is not None and not lease[0].is_ended:
            assert (lease[0].array == lease[1]).all()

    @rule(lease=consumes(leases))
    def release(self, lease):
        if lease is not None and not lease[0].is_ended:
            lease[0].release()
            self.num_leased -= 1

    @rule(target=views, lease=consumes(leases))
    def release_keeping_a_view(self, lease):
        if lease is None or lease[0].is_ended:
            return None
        view = lease[0].array[1:]
        lease[0].release()
        self.num_leased -= 1
        self.num_held += 1
        return [view, lease[1]]

    @rule(view=consumes(views))
    def drop_view(self, view):
        if view is not None:
            assert (view[0] == view[1]).all()
            view[0] = np.empty(0)
            self.num_held -= 1

    @rule()
    def time_passes(self):
        self.clock.advance(TTL_NS)

    @invariant()
    def counts_agree(self):
        found = self.box.statistics()
        assert found.depth == len(self.waiting)
        assert found.free == NUM_SLOTS - self.num_loaned - self.num_leased - self.num_held - len(self.waiting)
        assert (found.pushed, found.popped, found.leaks) == (self.sequence, self.num_popped, self.num_held)
        assert found.pushed - found.popped - found.depth == self.num_dropped
        assert (found.bytes_copied, found.orphans) == (0, 0)

    def teardown(self):
        self.box.close()


class SharedAgainstList(FocusAgainstList):
    engine = "plain"

    def make_box(self):
        name = f"test.{os.getpid()}.{next(_numbers)}"
        return SharedFocus.create(
            name, clock=self.clock, slots=NUM_SLOTS, slot_bytes=64, debug=True, engine=self.engine
        )

    def teardown(self):
        super().teardown()
        self.box.unlink()


class CompiledAgainstList(SharedAgainstList):
    engine = "numba"


_SETTINGS = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)
FocusAgainstList.TestCase.settings = SharedAgainstList.TestCase.settings = (
    CompiledAgainstList.TestCase.settings
) = _SETTINGS
TestFocusAgainstList = FocusAgainstList.TestCase
TestSharedAgainstList = SharedAgainstList.TestCase
if has_compiler():
    TestCompiledAgainstList = CompiledAgainstList.TestCase
