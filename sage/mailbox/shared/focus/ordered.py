"""Shared pools whose slots devices work on: arrays of the host wait until that work is complete.

Invariant: an array never shows bytes that a device still writes. A process needs no device for that: it reads
the rows in which the others note their work.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import RecordSink
from sage.mailbox.errors import MailboxError
from sage.mailbox.handles import Lease, Loan
from sage.mailbox.shared.focus.control import Control
from sage.mailbox.shared.focus.events import EventRows, Work
from sage.mailbox.shared.focus.exchange import SharedExchange
from sage.mailbox.shared.focus.layout import index_of


class MakeExchange(Protocol):
    """Makes the store of one process."""

    def __call__(
        self, control: Control, *, name: str, clock: Clock, demoted: RecordSink | None
    ) -> SharedExchange: ...


class FocusBackend(Protocol):
    """A device whose streams work on a shared pool."""

    @property
    def name(self) -> str: ...

    @property
    def exchange(self) -> MakeExchange: ...


def exchange_for(name: str, backend: FocusBackend | None, *, has_events: bool) -> MakeExchange:
    """The kind of store for a pool. Raises InputError for a backend on a pool created without one."""
    if backend is None:
        return OrderedExchange if has_events else SharedExchange
    if not has_events:
        raise InputError(
            f"{name}: this mailbox was created without a backend, given is {backend.name}: create it with one"
        )
    return backend.exchange


class OrderedExchange(SharedExchange):
    """A process without the device. Tensors are torch tensors of the processor."""

    def __init__(self, control: Control, *, name: str, clock: Clock, demoted: RecordSink | None) -> None:
        super().__init__(control, name=name, clock=clock, demoted=demoted)
        self.rows = EventRows(control.segment)
        self.is_ordered = True

    def view_loan(self, loan: Loan) -> np.ndarray:
        self._raise_unless_loaned(loan)
        self._settle(loan.index, -1)
        return super().view_loan(loan)

    def tensor_of_loan(self, loan: Loan) -> Any:
        self._raise_unless_loaned(loan)
        self._settle(loan.index, -1)
        return super().tensor_of_loan(loan)

    def fill(self, loan: Loan, array: np.ndarray) -> None:
        self._settle(loan.index, -1)
        super().fill(loan, array)

    def view_lease(self, lease: Lease) -> np.ndarray:
        self._settle_lease(lease)
        return super().view_lease(lease)

    def tensor_of_lease(self, lease: Lease) -> Any:
        self._settle_lease(lease)
        return super().tensor_of_lease(lease)

    def claim(self, lease: Lease) -> np.ndarray:
        self._settle_lease(lease)
        return super().claim(lease)

    def is_complete(self, work: Work) -> bool:
        return self.rows.is_done(work)

    def _settle(self, slot: int, generation: int) -> bool:
        return self.rows.settle(slot, generation, self.is_complete, self._name)

    def _settle_lease(self, lease: Lease) -> None:
        if lease.is_ended or lease.epoch != self.epoch:
            self._raise_ended(lease)
        if not self._settle(lease.index, lease.generation):
            raise MailboxError(
                f"{self._name}: slot {lease.index}: the process that wrote it died before its device work"
                " was complete: release this lease, and receive the next one"
            )

    def _demote(self, place: int) -> None:
        """A dropped tensor that was never completed has no summary."""
        if self._settle(index_of(place), self.control.words[place] >> 16):
            super()._demote(place)
        else:
            self.holdings.keep(place)
            self.holdings.sweep()
