"""Events of the slots of a shared pool: this process's own, and those of others, each opened once.

Invariant: an event of another process is used through its handle; where that cannot be opened, the row in
shared memory is read instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sage.mailbox.cuda.driver import CudaError, Driver
from sage.mailbox.shared.focus.events import EventRows, Work
from sage.mailbox.shared.memory.identity import is_alive


class SlotEvents:
    """One event per slot that this process writes, made on first use."""

    def __init__(self, driver: Driver, rows: EventRows) -> None:
        self._driver = driver
        self._rows = rows
        self.reset()

    def reset(self) -> None:
        """In a forked child, whose driver has no handles of the parent."""
        self._mine: dict[int, tuple[int, bytes | None]] = {}
        self._others: dict[bytes, int | None] = {}

    def mine(self, slot: int) -> int:
        return self._own(slot)[0]

    def handle(self, slot: int) -> bytes | None:
        """For other processes; None if this device's events cannot be exported."""
        return self._own(slot)[1]

    def of(self, work: Work) -> int | None:
        """The event of another participant's work; None if it cannot be opened here."""
        handle = self._rows.handle(work)
        if handle is None:
            return None
        if handle not in self._others:
            try:
                self._others[handle] = self._driver.open_event(handle)
            except CudaError:  # of this process itself, or of one that has ended: its row is read instead
                self._others[handle] = None
        return self._others[handle]

    def _own(self, slot: int) -> tuple[int, bytes | None]:
        if slot not in self._mine:
            event = self._driver.create_event(is_shared=True)
            try:
                handle: bytes | None = self._driver.export_event(event)
            except CudaError:  # this device has no shared events: others read the row
                handle = None
            self._mine[slot] = (event, handle)
        return self._mine[slot]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWriting:
    """Work of a participant, for the watchdog.  event: None to read the row alone."""

    driver: Driver
    rows: EventRows
    work: Work
    event: int | None
    call: Callable[[], None]

    def is_done(self) -> bool:
        if self.rows.is_done(self.work):
            return True
        return self.event is not None and self.driver.is_done(self.event)

    def is_alive(self) -> bool:
        return is_alive(self.work.owner)

    def on_orphan(self) -> None:
        self.call()
