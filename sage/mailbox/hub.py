"""The mailboxes of a run by name: who asks first makes one, who asks again gets the same.

Invariant: one name is one mailbox with one layout; asking for another layout is an error, never a second mailbox.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, TypeVar

from sage.mailbox.clock import Clock
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.focus import FocusMailbox
from sage.mailbox.peripheral import PeripheralMailbox
from sage.mailbox.statistics import FocusStatistics, PeripheralStatistics

_Mailbox = TypeVar("_Mailbox", PeripheralMailbox, FocusMailbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStatistics:
    """Every mailbox's counts, each consistent in itself, in order of name.  taken_ns: on the hub's clock."""

    taken_ns: int
    peripheral: tuple[PeripheralStatistics, ...]
    focus: tuple[FocusStatistics, ...]


class Hub:
    """Creates or gets; closes all it made. Options that are left out when getting match anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mailboxes: dict[str, PeripheralMailbox | FocusMailbox] = {}
        self._options: dict[str, dict[str, Any]] = {}
        self._is_closed = False

    def peripheral(self, name: str, **options: Any) -> PeripheralMailbox:
        """The peripheral mailbox `name`; options as PeripheralMailbox takes them."""
        return self._create_or_get(PeripheralMailbox, name, options)

    def focus(self, name: str, **options: Any) -> FocusMailbox:
        """The focus mailbox `name`; options as FocusMailbox takes them."""
        return self._create_or_get(FocusMailbox, name, options)

    @property
    def names(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._mailboxes))

    def snapshot(self) -> HubStatistics:
        with self._lock:
            mailboxes = [self._mailboxes[name] for name in sorted(self._mailboxes)]
        return HubStatistics(
            taken_ns=self._clock.now_ns(),
            peripheral=tuple(m.statistics() for m in mailboxes if isinstance(m, PeripheralMailbox)),
            focus=tuple(m.statistics() for m in mailboxes if isinstance(m, FocusMailbox)),
        )

    def close(self) -> None:
        """Close every mailbox. Safe to call twice."""
        with self._lock:
            self._is_closed = True
            mailboxes = list(self._mailboxes.values())
        for mailbox in mailboxes:
            mailbox.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _create_or_get(self, kind: type[_Mailbox], name: str, options: dict[str, Any]) -> _Mailbox:
        if not name:
            raise ValueError("name is empty: give each mailbox a name of its own")
        with self._lock:
            if self._is_closed:
                raise MailboxClosed(f"{name}: the hub was closed")
            known = self._mailboxes.get(name)
            if known is None:
                mailbox = kind(name, clock=self._clock, **options)
                self._mailboxes[name], self._options[name] = mailbox, options
                return mailbox
            if not isinstance(known, kind):
                has, asked = type(known).__name__, kind.__name__
                raise ValueError(f"{name}: exists as a {has}, asked for as a {asked}: use another name")  # noqa: TRY004
            self._raise_unless_agreed(name, known, options)
            return known

    def _raise_unless_agreed(self, name: str, known: PeripheralMailbox | FocusMailbox, options: dict[str, Any]) -> None:
        """Options as given at creation; those that were left out then, as the mailbox has them."""
        for option, asked in options.items():
            has = self._options[name].get(option, getattr(known, option, None))
            if asked != has:
                raise ValueError(f"{name}: exists with {option}={has!r}, asked for {asked!r}: agree, or use another name")
