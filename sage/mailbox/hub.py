"""The mailboxes of a run by name: who asks first makes one, who asks again gets the same.

Invariant: one name is one mailbox with one layout; asking for another layout is an error, never a second
mailbox.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.mailbox.statistics import FocusStatistics, PeripheralStatistics
from sage.mailbox.trace import MessageTrace

AnyMailbox: TypeAlias = PeripheralMailbox | FocusMailbox | SharedPeripheral | SharedFocus
_Mailbox = TypeVar("_Mailbox", PeripheralMailbox, FocusMailbox, SharedPeripheral, SharedFocus)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStatistics:
    """Every mailbox's counts, each consistent in itself, in order of name.  taken_ns: on the hub's clock."""

    taken_ns: int
    peripheral: tuple[PeripheralStatistics, ...]
    focus: tuple[FocusStatistics, ...]


class Hub:
    """Creates or gets; closes all it made. Options that are left out when getting match anything.

    namespace: what the names of its shared mailboxes begin with in /dev/shm, unique to this hub where it is
    left out.
    """

    def __init__(self, clock: Clock, *, namespace: str | None = None) -> None:
        self._clock = clock
        self._namespace = namespace or f"{os.getpid()}-{os.urandom(3).hex()}"
        self._lock = threading.Lock()
        self._mailboxes: dict[str, AnyMailbox] = {}
        self._options: dict[str, dict[str, Any]] = {}
        self._is_closed = False

    def peripheral(self, name: str, **options: Any) -> PeripheralMailbox:
        """The peripheral mailbox `name`; options as PeripheralMailbox takes them."""
        return self._create_or_get(
            name, "PeripheralMailbox", options, partial(PeripheralMailbox, name, clock=self._clock)
        )

    def focus(self, name: str, **options: Any) -> FocusMailbox:
        """The focus mailbox `name`; options as FocusMailbox takes them."""
        return self._create_or_get(
            name, "FocusMailbox", options, partial(FocusMailbox, name, clock=self._clock)
        )

    def shared_peripheral(self, name: str, **options: Any) -> SharedPeripheral:
        """A peripheral mailbox that other processes attach to, by its own `name`, which begins with the
        namespace.
        """
        make = partial(SharedPeripheral.create, f"{self._namespace}.{name}", clock=self._clock)
        return self._create_or_get(name, "SharedPeripheral", options, make)

    def shared_focus(self, name: str, **options: Any) -> SharedFocus:
        """A focus mailbox that other processes attach to, by its own `name`, which begins with the
        namespace.
        """
        make = partial(SharedFocus.create, f"{self._namespace}.{name}", clock=self._clock)
        return self._create_or_get(name, "SharedFocus", options, make)

    @property
    def names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._mailboxes))

    def snapshot(self) -> HubStatistics:
        with self._lock:
            mailboxes = [self._mailboxes[name] for name in sorted(self._mailboxes)]
        return HubStatistics(
            taken_ns=self._clock.now_ns(),
            peripheral=tuple(
                m.statistics() for m in mailboxes if isinstance(m, (PeripheralMailbox, SharedPeripheral))
            ),
            focus=tuple(m.statistics() for m in mailboxes if isinstance(m, (FocusMailbox, SharedFocus))),
        )

    def keep_trace(self, trace: MessageTrace | None) -> None:
        """Of the messages of every focus mailbox there is now; None ends it."""
        with self._lock:
            boxes = [box for box in self._mailboxes.values() if isinstance(box, (FocusMailbox, SharedFocus))]
        for box in boxes:
            box.keep_trace(trace)

    def close(self) -> None:
        """Close every mailbox. Safe to call twice. What one of them raises is raised when all were asked."""
        with self._lock:
            self._is_closed = True
            mailboxes = list(self._mailboxes.values())
        with ExitStack() as stack:  # one that cannot be closed keeps no other open, and no name in /dev/shm
            for mailbox in mailboxes:
                if isinstance(mailbox, (SharedPeripheral, SharedFocus)):
                    stack.callback(mailbox.unlink)
                stack.callback(mailbox.close)

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _create_or_get(
        self, name: str, kind: str, options: dict[str, Any], make: Callable[..., _Mailbox]
    ) -> _Mailbox:
        if not name:
            raise InputError("name is empty: give each mailbox a name of its own")
        with self._lock:
            if self._is_closed:
                raise MailboxClosed(f"{name}: the hub was closed")
            known = self._mailboxes.get(name)
            if known is None:
                mailbox = make(**options)
                self._mailboxes[name], self._options[name] = mailbox, options
                return mailbox
            if type(known).__name__ != kind:
                raise InputError(
                    f"{name}: exists as a {type(known).__name__}, asked for as a {kind}: use another name"
                )
            self._raise_unless_agreed(name, known, options)
            return cast(_Mailbox, known)

    def _raise_unless_agreed(self, name: str, known: AnyMailbox, options: dict[str, Any]) -> None:
        """Options as given at creation; those that were left out then, as the mailbox has them."""
        for option, asked in options.items():
            has = self._options[name].get(option, getattr(known, option, None))
            if asked != has:
                raise InputError(
                    f"{name}: exists with {option}={has!r}, asked for {asked!r}: agree, or use another name"
                )
