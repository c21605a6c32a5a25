"""The mailboxes of a run by name: the first request creates one, later requests return the same one.

Invariant: one name is one mailbox with one set of options; a request with other options is an error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import Focus, Peripheral
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.mailbox.statistics import FocusStatistics, PeripheralStatistics
from sage.mailbox.trace import MessageTrace

_Mailbox = TypeVar("_Mailbox", bound=Peripheral | Focus)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStatistics:
    """Counts of every mailbox, in order of name; each mailbox's are consistent.

    taken_ns: on the hub's clock.
    """

    taken_ns: int
    peripheral: tuple[PeripheralStatistics, ...]
    focus: tuple[FocusStatistics, ...]


@runtime_checkable
class Unlinkable(Protocol):
    """A mailbox with a name that other processes attach to."""

    def unlink(self) -> None:
        """Remove the name. The memory goes with its last user."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One mailbox, and the options it was created with."""

    mailbox: Peripheral | Focus
    options: dict[str, Any]


class Hub:
    """Creates mailboxes, returns existing ones, closes all of them.

    A request may leave options out; those it gives must match the existing mailbox.
    namespace: prefix of the shared mailboxes' names in /dev/shm; the default is unique to this hub.
    """

    def __init__(self, clock: Clock, *, namespace: str | None = None) -> None:
        self._clock = clock
        self._namespace = namespace or f"{os.getpid()}-{os.urandom(3).hex()}"
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._peripherals: dict[str, Peripheral] = {}
        self._focuses: dict[str, Focus] = {}
        self._is_closed = False

    def peripheral(self, name: str, **options: Any) -> PeripheralMailbox:
        """The peripheral mailbox `name`; options as for PeripheralMailbox."""
        make = partial(PeripheralMailbox, name, clock=self._clock)
        return self._create_or_get(name, PeripheralMailbox, options, make, self._peripherals)

    def focus(self, name: str, **options: Any) -> FocusMailbox:
        """The focus mailbox `name`; options as for FocusMailbox."""
        make = partial(FocusMailbox, name, clock=self._clock)
        return self._create_or_get(name, FocusMailbox, options, make, self._focuses)

    def shared_peripheral(self, name: str, **options: Any) -> SharedPeripheral:
        """A peripheral mailbox that other processes attach to by its attribute `name` (with the
        namespace).
        """
        make = partial(SharedPeripheral.create, f"{self._namespace}.{name}", clock=self._clock)
        return self._create_or_get(name, SharedPeripheral, options, make, self._peripherals)

    def shared_focus(self, name: str, **options: Any) -> SharedFocus:
        """A focus mailbox that other processes attach to by its attribute `name` (with the namespace)."""
        make = partial(SharedFocus.create, f"{self._namespace}.{name}", clock=self._clock)
        return self._create_or_get(name, SharedFocus, options, make, self._focuses)

    @property
    def names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._entries))

    def snapshot(self) -> HubStatistics:
        with self._lock:
            peripherals = [self._peripherals[name] for name in sorted(self._peripherals)]
            focuses = [self._focuses[name] for name in sorted(self._focuses)]
        return HubStatistics(
            taken_ns=self._clock.now_ns(),
            peripheral=tuple(mailbox.statistics() for mailbox in peripherals),
            focus=tuple(mailbox.statistics() for mailbox in focuses),
        )

    def keep_trace(self, trace: MessageTrace | None) -> None:
        """Trace the messages of every focus mailbox that exists now; None stops it."""
        with self._lock:
            focuses = list(self._focuses.values())
        for mailbox in focuses:
            mailbox.keep_trace(trace)

    def close(self) -> None:
        """Close every mailbox. Safe to call twice. An error of one is raised after all were closed."""
        with self._lock:
            self._is_closed = True
            mailboxes = [entry.mailbox for entry in self._entries.values()]
        with ExitStack() as stack:  # closes all of them, even if one cannot be closed
            for mailbox in mailboxes:
                if isinstance(mailbox, Unlinkable):
                    stack.callback(mailbox.unlink)  # also if close fails: no name stays in /dev/shm
                stack.callback(mailbox.close)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _create_or_get(
        self,
        name: str,
        kind: type[_Mailbox],
        options: dict[str, Any],
        make: Callable[..., _Mailbox],
        mailboxes: dict[str, Any],
    ) -> _Mailbox:
        if not name:
            raise InputError("name is empty: give each mailbox a name of its own")
        with self._lock:
            if self._is_closed:
                raise MailboxClosed(f"{name}: the hub was closed")
            entry = self._entries.get(name)
            if entry is None:
                mailbox = make(**options)
                self._entries[name] = _Entry(mailbox=mailbox, options=options)
                mailboxes[name] = mailbox
                return mailbox
            if not isinstance(entry.mailbox, kind):
                raise InputError(
                    f"{name}: exists as a {type(entry.mailbox).__name__}, requested as a {kind.__name__}:"
                    " use another name"
                )
            _raise_unless_equal(name, entry, options)
            return cast(_Mailbox, entry.mailbox)


def _raise_unless_equal(name: str, entry: _Entry, options: dict[str, Any]) -> None:
    """Compare with the options at creation; those left out then, with the mailbox's attributes."""
    for option, requested in options.items():
        found = entry.options.get(option, getattr(entry.mailbox, option, None))
        if requested != found:
            raise InputError(
                f"{name}: exists with {option}={found!r}, requested with {requested!r}: use the same value,"
                " or another name"
            )
