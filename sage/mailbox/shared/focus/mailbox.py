"""The focus mailbox between processes: large tensors, passed by reference in shared memory.

Invariant: as for `sage.mailbox.FocusMailbox`; in addition a process that dies loses only its own loans and
leases, which others take back within REAP_SECS of needing a slot. A stopped process loses nothing; if it
stops inside the lock, others raise MailboxError.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import RecordSink
from sage.mailbox.errors import MailboxEmpty, MailboxFull
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.intake import as_array
from sage.mailbox.options import POLICIES, Policy, check_record_bytes, check_weights
from sage.mailbox.record import RECORD_BYTES
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.focus.exchange import REAP_SECS, SharedExchange
from sage.mailbox.shared.focus.layout import Form, Receivers, focus_layout_for
from sage.mailbox.shared.focus.ordered import FocusBackend, exchange_for
from sage.mailbox.shared.focus.statistics import explain, statistics_of
from sage.mailbox.shared.memory.doorbell import POLL_SECS
from sage.mailbox.shared.memory.engine_choice import EngineName
from sage.mailbox.shared.memory.participants import Participants
from sage.mailbox.shared.memory.segment import Segment
from sage.mailbox.statistics import FocusStatistics
from sage.mailbox.trace import MessageTrace

_LONGEST_SECS = 1e9  # also for float("inf")
_SPIN_SLICE_NS = 10_000_000  # longest spin in one compiled call; between two calls Python handles signals
_MAX_PRODUCER = 2**32 - 1  # 32 bits in a record's header


def _prepare(segment: Segment) -> None:
    Participants(segment)  # initialises the lock; everything else is zero


class SharedFocus:
    """One process's handle. `create` it in one process, `attach` in the others; a forked child joins on first
    use.

    `close` in the creator closes it for all processes, elsewhere for this process only; `unlink` removes the
    name.
    """

    def __init__(
        self,
        segment: Segment,
        *,
        clock: Clock,
        demoted: RecordSink | None = None,
        engine: EngineName | None = None,
        backend: FocusBackend | None = None,
    ) -> None:
        """Use `create` or `attach`."""
        self._segment = segment
        self._words = segment.words
        self._control = Control(segment, engine)
        self._file = os.fstat(segment.fd)
        self._creator_pid = os.getpid() if segment.is_creator else 0
        options = segment.options(layout.OPTION_NAMES)
        self.name = segment.name
        self.engine = self._control.engine
        self.slots = options["slots"]
        self.slot_bytes = options["slot_bytes"]
        self.policy = POLICIES[options["policy"]]
        self.quota = options["quota"] if options["quota"] <= self.slots else None
        self.ttl_ns = options["ttl_ns"] or None
        self.debug = bool(options["debug"])
        self.receivers = layout.RECEIVERS_NAMES[options["receivers"]]
        make = exchange_for(self.name, backend, has_events=bool(options["has_events"]))
        self._exchange = make(self._control, name=self.name, clock=clock, demoted=demoted)
        self.backend = "host" if backend is None else backend.name
        self._forms = self._exchange.forms

    @classmethod
    def create(
        cls,
        name: str,
        *,
        clock: Clock,
        slots: int = 4,
        slot_bytes: int | None = None,
        pool_bytes: int | None = None,
        policy: Policy = "drop_oldest",
        quota: int | None = None,
        ttl_ns: int | None = None,
        demoted: RecordSink | None = None,
        debug: bool = False,
        receivers: Receivers = "one",
        engine: EngineName | None = None,
        backend: FocusBackend | None = None,
    ) -> SharedFocus:
        """A new mailbox; options as for FocusMailbox. Raises MailboxError if the name is taken or memory is
        short.

        clock: processes compare its times: use RealClock, except in tests.  demoted: receives this process's
        summary records.
        receivers: "one" gets each message, or "each" participant that had called receive or listen before it
        was published.
        engine: "numba" or "plain", None for the best there is.
        backend: a device whose streams work on the slots, such as `sage.mailbox.cuda.UnifiedBackend`.
        """
        plan = focus_layout_for(
            name,
            slots=slots,
            slot_bytes=slot_bytes,
            pool_bytes=pool_bytes,
            policy=policy,
            quota=quota,
            ttl_ns=ttl_ns,
            debug=debug,
            receivers=receivers,
            has_events=backend is not None,
        )
        if demoted is not None:
            check_record_bytes(name, demoted.record_bytes, RECORD_BYTES)
        segment = Segment.create(name, plan, prepare=_prepare)
        try:
            return cls(segment, clock=clock, demoted=demoted, engine=engine, backend=backend)
        except BaseException:
            segment.unlink()
            raise

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        clock: Clock,
        demoted: RecordSink | None = None,
        engine: EngineName | None = None,
        backend: FocusBackend | None = None,
    ) -> SharedFocus:
        """Attach to an existing mailbox. Raises MailboxError if there is none, or it is of another user or
        version.

        backend: needs a mailbox that was created with one; without it this process uses arrays only.
        """
        if demoted is not None:
            check_record_bytes(name, demoted.record_bytes, RECORD_BYTES)
        segment = Segment.attach(name, kind=layout.KIND)
        return cls(segment, clock=clock, demoted=demoted, engine=engine, backend=backend)

    def try_loan(
        self, shape: tuple[int, ...], dtype: str = "float32", *, producer: int = 0, trust: float = 1.0
    ) -> Loan | None:
        """A slot to write a tensor into, or None (counted by reason).

        trust: what "drop_least_trusted" compares for this newcomer; publish sets the message's own. Raises
        InputError for a tensor that fits no slot.
        """
        found = self._exchange.lend(self._form(shape, dtype), self._checked(producer), float(trust))
        if isinstance(found, Loan):
            return found
        self._exchange.count_refusal(producer, found)
        return None

    def loan(
        self,
        shape: tuple[int, ...],
        dtype: str = "float32",
        *,
        producer: int = 0,
        trust: float = 1.0,
        timeout_secs: float = 1.0,
    ) -> Loan:
        """`try_loan` that waits up to timeout_secs, except under "error" and "drop_newest".

        Raises MailboxFull with the holders of all slots.
        """
        form = self._forms.by_spec.get((shape, dtype)) if type(shape) is tuple else None
        form = form or self._forms.form_for(shape, dtype)
        found = self._exchange.lend(form, self._checked(producer) if producer else 0, float(trust))
        if type(found) is Loan:
            return found
        if self.policy in ("error", "drop_newest"):
            timeout_secs = 0.0
        return self._wait_for_room(form, producer, trust, timeout_secs)

    def send(
        self,
        tensor: Any,
        *,
        stamp_ns: int,
        sequence: int,
        producer: int = 0,
        trust: float = 1.0,
        quality: float = 1.0,
        ttl_ns: int | None = None,
    ) -> bool:
        """Copy an array or a torch tensor into a slot and publish it; False (counted) without a free slot.

        The copy is counted in bytes_copied; write into a loan to avoid it.
        """
        array, dtype = as_array(tensor)
        loan = self.try_loan(array.shape, dtype, producer=producer, trust=trust)
        if loan is None:
            return False
        with loan:
            np.copyto(loan.array, array)
            self._control.count_copied(array.nbytes)
            return loan.publish(
                stamp_ns=stamp_ns, sequence=sequence, trust=trust, quality=quality, ttl_ns=ttl_ns
            )

    def post(
        self,
        array: np.ndarray,
        dtype: str,
        *,
        stamp_ns: int,
        sequence: int,
        producer: int = 0,
        trust: float = 1.0,
        quality: float = 1.0,
    ) -> int | None:
        """Loan, write and publish a small array of a `dtype` that numpy has.

        Returns the slot's word for a record's header, or None (counted) without a free slot. Not counted in
        bytes_copied, because it is the producer's own write, as into a loan.
        """
        check_weights(self.name, trust, quality)
        loan = self.try_loan(array.shape, dtype, producer=producer, trust=trust)
        if loan is None:
            return None
        self._exchange.fill(loan, array)
        loan.publish(stamp_ns=stamp_ns, sequence=sequence, trust=trust, quality=quality)
        return loan.word

    def try_receive(self, *, newest: bool = False) -> Lease | None:
        """The next message (first in, first out by producer, fair between producers), or None.

        newest: the message with the latest stamp; all others are dropped and counted as superseded. With
        receivers="each" messages come in the order of publication, and are dropped for this participant
        only.
        """
        return self._exchange.take(newest=newest)

    def receive(self, *, timeout_secs: float, newest: bool = False, spin_secs: float = 0.0) -> Lease:
        """`try_receive` that waits. Raises MailboxEmpty after timeout_secs.

        spin_secs: check without sleeping for this long first; saves a wake-up of about 50 us, uses a core.
        """
        return self._exchange.take(newest=newest) or self._wait_for_message(timeout_secs, newest, spin_secs)

    def listen(self) -> None:
        """With receivers="each": receive every message from now on."""
        self._exchange.listen()

    def reclaim(self, producer: int) -> int:
        """Take back the open loans of a producer that is gone; returns how many (counted as orphans).

        A later publish of such a loan returns False (stale).
        """
        return self._exchange.reclaim(producer)

    def reap(self) -> int:
        """Take back the resources of dead processes now; returns how many had died. A process that needs a
        slot does this automatically.
        """
        self._exchange.enter()
        return self._control.reap()

    def statistics(self) -> FocusStatistics:
        self._exchange.holdings.sweep()
        return statistics_of(self._control.snapshot(), self.name)

    def fileno(self) -> int:
        """A descriptor for an event loop's `add_reader`: readable when a receive may return or raise.

        A thread of this process writes it, from the first call until close.
        """
        return self._exchange.fileno()

    def close(self) -> None:
        """In the creator: close it in every process and drop waiting messages (counted). In others: `detach`.

        Waiters raise MailboxClosed; open leases and views stay valid. Safe to call twice.
        """
        self._exchange.close(for_all=os.getpid() == self._creator_pid)

    def detach(self) -> None:
        """Close this process's handle only."""
        self._exchange.close(for_all=False)

    def keep_trace(self, trace: MessageTrace | None) -> None:
        """Add each message that this process releases from now on to `trace`; None stops it."""
        self._exchange.holdings.trace = trace

    def unlink(self) -> None:
        """Remove the name: no process can attach any more; the memory is freed with its last user."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._segment.path), self._file):  # not another one of that name
                self._segment.path.unlink()

    def __enter__(self) -> SharedFocus:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _wait_for_room(self, form: Form, producer: int, trust: float, timeout_secs: float) -> Loan:
        wait = Waiting(self._exchange, layout.ROOM_FLAG, layout.FREED, REAP_SECS, timeout_secs)
        num_freed = self._words[layout.FREED]  # before the try that the wait follows
        answer = self._exchange.lend(form, producer, trust)
        while type(answer) is int and wait.until_moved(num_freed):
            num_freed = self._words[layout.FREED]
            answer = self._exchange.lend(form, producer, trust)
        if isinstance(answer, Loan):
            return answer
        self._exchange.count_refusal(producer, answer)
        raise MailboxFull(explain(self._control.snapshot(), self.name, producer))

    def _wait_for_message(self, timeout_secs: float, newest: bool, spin_secs: float) -> Lease:
        wait = Waiting(self._exchange, layout.ARRIVALS_FLAG, layout.ORDER, POLL_SECS, timeout_secs, spin_secs)
        num_published = self._words[layout.ORDER]  # before the try that the wait follows
        lease = self._exchange.take(newest=newest)
        while lease is None and wait.until_moved(num_published):
            num_published = self._words[layout.ORDER]
            lease = self._exchange.take(newest=newest)
        if lease is None:
            raise MailboxEmpty(f"{self.name}: nothing was published within {timeout_secs} s")
        return lease

    def _checked(self, producer: int) -> int:
        if not 0 <= producer <= _MAX_PRODUCER:
            raise InputError(f"{self.name}: producer is {producer}: give 0 to 2^32 - 1")
        return int(producer)

    def _form(self, shape: tuple[int, ...], dtype: str) -> Form:
        return self._forms.by_spec.get((tuple(shape), dtype)) or self._forms.form_for(shape, dtype)


class Waiting:
    """One wait, starting now, on a doorbell that rings when the word `counter` changes.

    It holds nothing while it waits. spin_secs: check without sleeping for this long first.  slice_secs:
    interval at which to return for a try anyway, after checks for dead processes and for views that ended
    here; neither rings a doorbell, nor does an expired message.
    """

    def __init__(
        self,
        exchange: SharedExchange,
        flag: int,
        counter: int,
        slice_secs: float,
        timeout_secs: float,
        spin_secs: float = 0.0,
    ) -> None:
        self._exchange = exchange
        self._flag = flag
        self._counter = counter
        self._step = exchange.control.steps.wait
        self._slice_ns = int(slice_secs * 1e9)
        now_ns = time.monotonic_ns()
        self._end_ns = now_ns + int(min(timeout_secs, _LONGEST_SECS) * 1e9)
        self._spin_end_ns = now_ns + int(min(spin_secs, _LONGEST_SECS) * 1e9) if spin_secs > 0.0 else 0
        self._is_over = timeout_secs <= 0.0

    def until_moved(self, seen: int) -> bool:
        """True when the caller must try: the counter is not `seen` any more, or slice_secs have passed. False
        after the timeout and a last try.
        """
        if self._is_over:
            return False
        now_ns = time.monotonic_ns()
        left_ns, spin_ns = self._end_ns - now_ns, 0
        sleep_ns = min(left_ns, self._slice_ns)
        if now_ns < self._spin_end_ns:
            spin_ns = min(self._spin_end_ns - now_ns, left_ns, _SPIN_SLICE_NS)
            sleep_ns = min(left_ns - spin_ns, sleep_ns) if now_ns + spin_ns >= self._spin_end_ns else 0
        if left_ns <= 0 or not self._step(self._flag, self._counter, seen, spin_ns, sleep_ns):
            # otherwise slice_secs have passed, or a signal came
            self._is_over = time.monotonic_ns() >= self._end_ns
            self._exchange.holdings.sweep()
            self._exchange.reap_if_dead()
        return True
