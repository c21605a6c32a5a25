"""The store of a shared focus pool in one process: loan, publish, take, view, claim, release.

Invariant: a slot that this process has on loan, on lease or in view is marked so in the table, and every
refusal of a rule is counted or raised.
"""

from __future__ import annotations

import os
import time
from threading import get_ident
from typing import Any, NoReturn
from weakref import ref

import numpy as np

from sage.mailbox.clock import Clock, now_function
from sage.mailbox.contract import RecordSink
from sage.mailbox.errors import LeaseExpired, MailboxClosed, MailboxError
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.meta import LOANED, FocusMeta
from sage.mailbox.options import check_weights
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control, bit_of
from sage.mailbox.shared.focus.demotion import describe_if_written, summary_of
from sage.mailbox.shared.focus.ending import close_all, reclaim, stop_listening
from sage.mailbox.shared.focus.holdings import FORKS, Holdings
from sage.mailbox.shared.focus.layout import Form, Forms, index_of
from sage.mailbox.shared.focus.pool import SharedPool
from sage.mailbox.shared.focus.rules import BUSY, CLOSED, DEMOTE, PLACE, PLACE_BITS, STALE, discard, refuse
from sage.mailbox.shared.memory.feeder import Feeder
from sage.mailbox.shared.memory.participants import DeathWatch
from sage.mailbox.shared.memory.segment import IS_CLOSED

#: Interval at which a blocked or refused loan checks for dead processes. A check takes about 50 us.
REAP_SECS = 0.005


class SharedExchange:
    """Called by one process's SharedFocus and, as their store, by its handles.

    epoch: FORKS.count; it differs in a forked child, whose parent owns all handles made before the fork.
    """

    epoch = FORKS.count

    def __init__(self, control: Control, *, name: str, clock: Clock, demoted: RecordSink | None) -> None:
        words = control.words
        self.control = control
        self.pool = SharedPool(control.segment)
        self._joined = FORKS.count  # the value of it when this process joined
        self.holdings = Holdings(control, self.pool)
        self.is_ordered = False
        self.is_closed = False
        self._has_left = False
        self._name = name
        self._demoted = demoted
        self._demotes = int(demoted is not None)
        self._now_ns = now_function(clock)
        self._steps = control.steps
        self.forms = Forms(name, words[layout.SLOT_BYTES])
        self._specs = {
            place: control.view_of(place, layout.SPEC, layout.SPEC_WORDS) for place in control.places()
        }
        self._is_debug = words[layout.DEBUG]
        self._ttl_ns = words[layout.TTL_NS]
        self._looked_secs = 0.0
        self._watch = DeathWatch(control.participants, control.segment)
        control.join()

    def index_of(self, place: int) -> int:
        return index_of(place)

    @property
    def has_ended(self) -> bool:
        """Closed in this process, or in all."""
        return self.is_closed or bool(self.control.words[IS_CLOSED])

    def enter(self) -> None:
        """Called before each operation: a forked child joins with an entry of its own."""
        if self._joined != FORKS.count and not self.is_closed:
            self._joined = FORKS.count
            self.holdings.forget()
            self._watch.close()
            self.control.join()
        if self.is_closed:
            raise MailboxClosed(f"{self._name}: the mailbox was closed")

    def lend(self, form: Form, producer: int, trust: float) -> Loan | int:
        """A loan, or the reason for its refusal, which is not counted yet."""
        if self.is_closed or self._joined != FORKS.count:
            self.enter()
        control, holdings = self.control, self.holdings
        ended = holdings.pop_ended() if holdings.viewed else -1
        # 0: the time, which only a drop reads
        answer = self._steps.lend(
            control.me, control.bit, get_ident(), producer, trust, 0, 0, 0, ended, form.words_at
        )
        if answer < 0:
            answer = self._lend_later(form, producer, trust, answer, ended)
            if answer < 0:
                self._raise_if_closed(answer)
                return answer
        place, generation = answer & PLACE, answer >> PLACE_BITS
        loan = Loan(self, place, form, generation, producer)
        holdings.open[place] = (ref(loan), generation, None)
        return loan

    def take(self, *, newest: bool) -> Lease | None:
        if self.is_closed or self._joined != FORKS.count:
            self.enter()
        control, holdings, now_ns = self.control, self.holdings, self._now_ns()
        ended = holdings.pop_ended() if holdings.viewed else -1
        while (
            answer := self._steps.take(control.me, control.bit, get_ident(), now_ns, int(newest), ended)
        ) == BUSY:
            self._wait_for_lock(ended)
        if answer < 0:
            self._raise_if_closed(answer)
            if holdings.feeder is not None:
                holdings.feeder.rearm()
            return None
        place, generation = answer & PLACE, answer >> PLACE_BITS
        words = self._specs[place].tobytes()
        form = self.forms.by_words.get(words) or self.forms.form_of_words(words)
        lease = Lease(self, place, form, generation, now_ns)
        holdings.open[place] = (ref(lease), generation, now_ns)
        return lease

    def meta(self, lease: Lease) -> FocusMeta:
        if lease.is_ended or lease.epoch != FORKS.count:
            self._raise_ended(lease)
        return layout.meta_from(self.control.bytes_at(lease.place, 0, layout.META_WORDS), lease.index)

    def view_loan(self, loan: Loan) -> np.ndarray:
        place, form, control = loan.place, loan.form, self.control
        is_loaned = control.words[place] == loan.generation << 16 | control.me << 8 | LOANED
        if loan.is_ended or loan.epoch != FORKS.count or not is_loaned:
            self._raise_unless_loaned(loan)
        return np.ndarray(form.shape, form.dtype, self.pool.writable_at[place])

    def tensor_of_loan(self, loan: Loan) -> Any:
        self._raise_unless_loaned(loan)
        return self.pool.tensor(loan.index, loan.form.spec, is_read_only=False)

    def fill(self, loan: Loan, array: np.ndarray) -> None:
        """Copy the bytes of a small array into a loan without making a tracked view."""
        self.pool.fill(loan.index, array)

    def view_lease(self, lease: Lease) -> np.ndarray:
        if lease.is_ended or lease.epoch != FORKS.count:
            self._raise_ended(lease)
        form = lease.form
        return np.ndarray(form.shape, form.dtype, self.pool.readers_at[lease.place])

    def tensor_of_lease(self, lease: Lease) -> Any:
        if lease.is_ended or lease.epoch != FORKS.count:
            self._raise_ended(lease)
        return self.pool.tensor(lease.index, lease.form.spec, is_read_only=True)

    def dlpack(self, lease: Lease, stream: int | None, options: dict[str, Any]) -> Any:
        return self.view_lease(lease).__dlpack__(**options)

    def dlpack_device(self, lease: Lease) -> tuple[int, int]:
        return self.view_lease(lease).__dlpack_device__()

    def publish(
        self, loan: Loan, stamp_ns: int, sequence: int, trust: float, quality: float, ttl_ns: int | None
    ) -> bool:
        if not (0.0 <= trust <= 1.0 and 0.0 <= quality <= 1.0):
            check_weights(self._name, trust, quality)
        if self.is_closed:
            self.discard(loan)
            self._raise_if_closed(CLOSED)
        if loan.is_ended or loan.epoch != FORKS.count:
            self._raise_ended(loan)
        viewed = self.holdings.end(loan)
        try:
            now_ns, form = self._now_ns(), loan.form
            ttl_ns = self._ttl_ns if ttl_ns is None else ttl_ns
            checksum = (
                self.pool.checksum(loan.index, form.spec.num_bytes) if self._is_debug else layout.NO_CHECKSUM
            )
            while (
                answer := self._steps.publish(
                    loan.place, loan.generation, self.control.me, viewed, int(stamp_ns), int(sequence),
                    float(trust), float(quality), now_ns + ttl_ns if ttl_ns else layout.NO_DEADLINE, now_ns,
                    checksum,
                )
            ) == BUSY:  # fmt: skip
                self._wait_for_lock()
        except BaseException:
            self.holdings.put_back(loan, None)
            raise
        if viewed or answer < 0 or self.is_closed:
            self._has_ended(loan.place, viewed, answer)
            if answer == STALE:
                self.count_refusal(loan.producer, answer)
            self._raise_if_closed(answer)
        return answer >= 0

    def discard(self, loan: Loan) -> None:
        if loan.is_ended or loan.epoch != FORKS.count:
            self._raise_ended(loan)
        viewed = self.holdings.end(loan)
        try:
            answer = self.control.run(discard, loan.place, loan.generation, self.control.me, viewed)
        except BaseException:
            self.holdings.put_back(loan, None)
            raise
        self._has_ended(loan.place, viewed, answer)

    def claim(self, lease: Lease) -> np.ndarray:
        if lease.is_ended or lease.epoch != FORKS.count:
            self._raise_ended(lease)
        lease.drop_array()
        form: Form = lease.form
        index = lease.index
        if not self.pool.is_viewed(index) and self.control.claim(lease.place):
            return self.pool.array(index, form.shape, form.dtype)
        self.control.count_copied(form.spec.num_bytes)
        return self.pool.read_only_array(index, form.shape, form.dtype).copy()

    def release(self, lease: Lease) -> None:
        if lease.is_ended or lease.epoch != FORKS.count:
            self._raise_ended(lease)
        if self.holdings.trace is not None:
            self.holdings.note(lease, self._now_ns())
        control, place, generation = self.control, lease.place, lease.generation
        viewed = self.holdings.end(lease)
        try:
            now_ns = self._now_ns()
            writer = describe_if_written(control, self.pool, lease) if self._is_debug else ""
            answer = self._steps.release(place, generation, control.bit, viewed, now_ns, lease.received_ns, 0)
            if answer == BUSY:
                control.wait_for_lock()
                answer = control.release(place, generation, viewed, now_ns, lease.received_ns)
        except BaseException:
            self.holdings.put_back(lease, lease.received_ns)
            raise
        if viewed or answer < 0 or self.is_closed:
            self._has_ended(place, viewed, answer)
        if writer:
            self.raise_written(writer)

    def raise_written(self, writer: str) -> NoReturn:
        raise MailboxError(
            f"{self._name}: a leased tensor was written to ({writer}): claim() it, or copy it first"
        )

    def reclaim(self, producer: int) -> int:
        self.enter()
        self.control.reap()
        num_reclaimed = 0
        for place, word in self.control.loans_of(producer):
            is_mine = (owner := word >> 8 & 0xFF) == self.control.me
            viewed = 0 if is_mine and not self.pool.is_viewed(index_of(place)) else bit_of(owner)
            num_reclaimed += self.control.run(reclaim, place, word, viewed)
            if is_mine and viewed:
                self.holdings.keep(place)
        return num_reclaimed

    def listen(self) -> None:
        self.enter()
        with self.control.held():
            self.control.words[layout.LISTENERS] |= self.control.bit

    def fileno(self) -> int:
        self.enter()
        if self.holdings.feeder is None:
            self.holdings.feeder = Feeder(self.control.arrivals, self.control.has_message, self._name)
        return self.holdings.feeder.descriptor

    def close(self, *, for_all: bool) -> None:
        control = self.control
        is_mine = self._joined == FORKS.count  # a child that never used it has not joined
        if for_all and not self._has_left:
            control.run(close_all)
        if not self.is_closed and is_mine:
            self.is_closed = True
            control.run(stop_listening, control.bit)
            if self.holdings.feeder is not None:
                self.holdings.feeder.close()
        self.is_closed = True
        control.arrivals.ring()
        control.room.ring()
        if is_mine:
            self._leave_if_over()

    def count_refusal(self, producer: int, answer: int) -> None:
        self.control.run(refuse, producer, answer)

    def reap_if_dead(self) -> bool:
        """Take back the resources of dead processes; checks at most every REAP_SECS."""
        if time.monotonic() - self._looked_secs < REAP_SECS:
            return False
        self._looked_secs = time.monotonic()
        return self._watch.has_dead() and self.control.reap() > 0

    def _lend_later(self, form: Form, producer: int, trust: float, answer: int, ended: int) -> int:
        """After a first try without dropping: again, with the policy and what can be taken back.

        answer, ended: the result of that try, and the slot that was given to it, or -1.
        """
        if answer == BUSY:
            self._wait_for_lock(ended)
            if ended >= 0:
                self.holdings.keep(ended)  # nothing was done
            answer = self._lend(form, producer, trust, may_drop=0)
        if answer < 0:
            self.holdings.sweep()
            answer = self._lend(form, producer, trust, may_drop=1)
            if answer < 0 and self.reap_if_dead():
                answer = self._lend(form, producer, trust, may_drop=1)
        return answer

    def _lend(self, form: Form, producer: int, trust: float, may_drop: int) -> int:
        control, holdings, now_ns = self.control, self.holdings, self._now_ns()
        ended = holdings.pop_ended() if holdings.viewed else -1
        while (
            answer := self._steps.lend(
                control.me, control.bit, get_ident(), producer, trust, now_ns, may_drop, self._demotes, ended,
                form.words_at,
            )
        ) <= DEMOTE:  # fmt: skip
            if answer == BUSY:
                self._wait_for_lock(ended)
            else:
                ended = -1
                self._demote(DEMOTE - answer)
        return answer

    def _wait_for_lock(self, ended: int = -1) -> None:
        try:
            self.control.wait_for_lock()
        except BaseException:
            if ended >= 0:
                self.holdings.keep(ended)  # the table still has this process's bit
            raise

    def _demote(self, place: int) -> None:
        """Push a summary record of the dropped tensor, then let its memory be reused."""
        assert self._demoted is not None
        record = summary_of(self.control, self.pool, place)
        self.holdings.keep(place)
        self.holdings.sweep()
        self._demoted.push(record)

    def _leave_if_over(self) -> None:
        """After close, once the last lease and the last view have ended: give up the entry."""
        if not self._has_left:
            self.holdings.sweep()
            if self.holdings.is_empty:
                self._has_left = True
                self._watch.close()
                self.control.leave()
                self.pool.close()

    def _has_ended(self, place: int, viewed: int, answer: int) -> None:
        if viewed or answer == STALE:  # after reclaim the table has this process's bit, for views of it
            self.holdings.keep(place)
        if self.is_closed:
            self._leave_if_over()

    def _raise_if_closed(self, answer: int) -> None:
        if answer == CLOSED or self.is_closed:
            raise MailboxClosed(f"{self._name}: the mailbox was closed")

    def _raise_ended(self, handle: Loan | Lease) -> NoReturn:
        if handle.epoch != FORKS.count:
            raise LeaseExpired(
                f"{self._name}: this loan or lease was made before this process was forked: request a new one"
            )
        if isinstance(handle, Loan):
            handle.raise_ended(self._name)
        handle.raise_ended()

    def _raise_unless_loaned(self, loan: Loan) -> None:
        if loan.is_ended or loan.epoch != FORKS.count:
            self._raise_ended(loan)
        if not self.control.is_loaned(loan.place, loan.generation):
            raise LeaseExpired(
                f"{self._name}: slot {loan.index}: this loan was taken back: request a new one"
            )


def _renew_epoch() -> None:
    SharedExchange.epoch = FORKS.count


os.register_at_fork(after_in_child=_renew_epoch)  # after the hook of `holdings`, which counts the fork
