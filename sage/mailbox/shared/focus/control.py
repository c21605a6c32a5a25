"""One participant's access to the control memory of a shared focus pool: rules under the lock, doorbells.

The frequent rules run as compiled steps if numba works, else as Python under the same lock; both can be used
on one pool at once, because both take its lock. Invariant: an exception or a signal never leaves the lock
taken, and an operation wakes the waiters that it concerns (on aarch64 with the plain engine possibly only at
their next check, after 5 ms, 50 for a receiver).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sage.mailbox.errors import MailboxError
from sage.mailbox.meta import LOANED
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus import rules as rules
from sage.mailbox.shared.focus.ending import take_back
from sage.mailbox.shared.focus.queue import oldest
from sage.mailbox.shared.memory.doorbell import Doorbell
from sage.mailbox.shared.memory.engine_choice import EngineName, choose
from sage.mailbox.shared.memory.participants import LOCK_TIMEOUT_SECS, Participants
from sage.mailbox.shared.memory.segment import IS_CLOSED, Segment
from sage.mailbox.shared.memory.words import copy_bytes

Rule = Callable[..., int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusSteps:
    """The rules of the same names, including lock and doorbells. BUSY: another process keeps the lock (call
    `Control.wait_for_lock`).

    lend, take: return place and generation (PLACE, PLACE_BITS).  lend: its last argument is the address of
    the spec's words.
    wait: (doorbell's flag, counter, seen, spin_ns, timeout_ns); 1 as soon as the counter changed or the
    mailbox is closed, else 0. It checks without sleeping for spin_ns, then sleeps for at most timeout_ns.
    """

    lend: Rule
    publish: Rule
    take: Rule
    release: Rule
    wait: Rule


_FIRST_BIT, _LAST_BIT = 1, -(1 << 63)  # a mask is a signed word


def bit_of(participant: int) -> int:
    return _FIRST_BIT << participant if participant < 63 else _LAST_BIT


class Control:
    """`me` is the entry between `join` and `leave`. `steps` are the frequent rules; `run` runs the others."""

    def __init__(self, segment: Segment, engine: EngineName | None) -> None:
        self.engine = choose(engine)
        self.segment = segment
        self.words = segment.words
        self._bytes = memoryview(segment.memory)
        self.reals = self._bytes.cast("d")
        self.participants = Participants(segment)
        self.arrivals = Doorbell(self.words, layout.ARRIVALS_FLAG, segment.address + layout.ARRIVALS_FLAG * 8)
        self.room = Doorbell(self.words, layout.ROOM_FLAG, segment.address + layout.ROOM_FLAG * 8)
        self.me = -1
        self.bit = 0
        self.steps = compiled_steps(segment.address) if self.engine == "numba" else plain_steps(self)

    def join(self) -> None:
        self.me = self.participants.join(self._take_back)
        self.bit = bit_of(self.me)

    def leave(self) -> None:
        """Give up the entry; this process must hold nothing."""
        self.participants.leave(self.me, self._take_back)
        self.me, self.bit = -1, 0
        self.ring_if_watched()

    def reap(self) -> int:
        num_dead = self.participants.reap(self._take_back)
        self.ring_if_watched()
        return num_dead

    def run(self, rule: Rule, *arguments: Any, waits: bool = True) -> int:
        """Run a rule on the table under the lock; ring the doorbells if it published or freed a slot.

        waits: for the lock, at most its time limit (then MailboxError); else BUSY where another process keeps
        it.
        """
        words, lock = self.words, self.participants.lock
        try:
            if not lock.try_acquire():
                if not waits:
                    return rules.BUSY
                self._acquire()
            num_published, num_freed = words[layout.ORDER], words[layout.FREED]
            found = rule(words, *arguments)
            has_published, has_freed = words[layout.ORDER] != num_published, words[layout.FREED] != num_freed
        finally:
            lock.release()  # has no effect if it was not acquired
        # a waiter sets its flag, then checks; here the unlock is between the change and the check of the flag
        self._ring(has_published and words[layout.ARRIVALS_FLAG], has_freed and words[layout.ROOM_FLAG])
        return found

    def wait_for_lock(self) -> None:
        """Called when a step returned BUSY: the owner is descheduled, or stopped (then this raises
        MailboxError).
        """
        self._acquire()
        self.participants.lock.release()

    def _ring(self, has_arrivals: int, has_room: int) -> None:
        if has_arrivals:
            self.arrivals.ring()
        if has_room:
            self.room.ring()

    def ring_if_watched(self) -> None:
        """Wake all waiters, to check again."""
        for bell in (self.arrivals, self.room):
            if bell.is_watched:
                bell.ring()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, for rare operations."""
        try:
            if not self.participants.lock.try_acquire():
                self._acquire()
            yield
        finally:
            self.participants.lock.release()

    def snapshot(self) -> bytes:
        """A consistent copy of the control memory."""
        with self.held():
            return bytes(self._bytes[: layout.CONTROL_BYTES])

    def count_copied(self, num_bytes: int) -> None:
        with self.held():
            self.words[layout.COPIED] += num_bytes

    def view_of(self, place: int, offset: int, num_words: int) -> memoryview:
        """Words of a slot that this process holds."""
        start = (place + offset) * 8
        return self._bytes[start : start + num_words * 8]

    def bytes_at(self, place: int, offset: int, num_words: int) -> bytes:
        """A copy of them, for `struct`."""
        return self.view_of(place, offset, num_words).tobytes()

    def release(
        self, place: int, generation: int, viewed: int, now_ns: int, received_ns: int, is_orphan: int = 0
    ) -> int:
        while (
            answer := self.steps.release(place, generation, self.bit, viewed, now_ns, received_ns, is_orphan)
        ) == rules.BUSY:
            self.wait_for_lock()
        return answer

    def places(self) -> range:
        return range(
            layout.TABLE, layout.TABLE + self.words[layout.SLOTS] * layout.SLOT_WORDS, layout.SLOT_WORDS
        )

    def has_message(self) -> bool:
        """Whether a take may succeed; without the lock."""
        wanted = self.bit if self.words[layout.RECEIVERS] == layout.EACH else 0
        return bool(self.words[IS_CLOSED]) or oldest(self.words, -1, wanted) >= 0

    def claim(self, place: int) -> bool:
        """Whether no other process holds, views or is to receive this slot; then its holder may write."""
        with self.held():
            others = self.words[place + layout.BORROWED] ^ self.bit
            is_alone = not (others or self.words[place + layout.PENDING] or self.words[place + layout.VIEWED])
            if is_alone:
                self.words[place + layout.CHECKSUM] = layout.NO_CHECKSUM
            return is_alone

    def loans_of(self, producer: int) -> list[tuple[int, int]]:
        """(place, state word) of each open loan."""
        return [
            (place, self.words[place])
            for place in self.places()
            if self.words[place] & 0xFF == LOANED and self.words[place + layout.PRODUCER] == producer
        ]

    def is_loaned(self, place: int, generation: int) -> bool:
        """Whether the loan of this generation is still open and of this participant."""
        return bool(self.words[place] == generation << 16 | self.me << 8 | LOANED)

    def _take_back(self, participant: int) -> None:
        # called by Participants with the lock held
        take_back(self.words, participant, bit_of(participant))

    def _acquire(self) -> None:
        if not self.participants.lock.acquire(LOCK_TIMEOUT_SECS):
            raise MailboxError(
                f"{self.segment.name}: another process has stopped inside an operation: continue it"
                " (SIGCONT), or end it"
            )


def compiled_steps(base: int) -> FocusSteps:
    """base: address of the segment."""
    from sage.mailbox.shared.focus import compiled as compiled

    return FocusSteps(
        lend=partial(compiled.LEND, base),
        publish=partial(compiled.PUBLISH, base),
        take=partial(compiled.TAKE, base),
        release=partial(compiled.RELEASE, base),
        wait=partial(compiled.WAIT, base),
    )


def plain_steps(control: Control) -> FocusSteps:
    base = control.segment.address

    def tagged(at: int) -> int:
        return at if at < 0 else control.words[at + layout.STATE] >> 16 << rules.PLACE_BITS | at

    def step(rule: Rule, *arguments: Any) -> int:
        return control.run(rule, control.reals, *arguments, waits=False)

    def lend(*arguments: Any) -> int:
        at = step(rules.lend, *arguments[:-1])
        if at >= 0:
            copy_bytes(base + 8 * (at + layout.SPEC), arguments[-1], 8 * layout.SPEC_WORDS)
        return tagged(at)

    def wait(flag: int, counter: int, seen: int, spin_ns: int, timeout_ns: int) -> int:
        words, bell = control.words, control.arrivals if flag == layout.ARRIVALS_FLAG else control.room

        def has_moved() -> bool:
            return bool(words[counter] != seen or words[IS_CLOSED])

        total_secs = (max(spin_ns, 0) + max(timeout_ns, 0)) * 1e-9
        return int(bell.wait_for(has_moved, total_secs, spin_secs=spin_ns * 1e-9))

    return FocusSteps(
        lend=lend,
        publish=lambda *arguments: step(rules.publish, *arguments),
        take=lambda *arguments: tagged(step(rules.take, *arguments)),
        release=lambda *arguments: step(rules.release, *arguments),
        wait=wait,
    )
