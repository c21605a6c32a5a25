"""What a caller adds to a session from outside, for example a recording.

Invariant: an attachment never stops or delays the session; a fault of its own is among its notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run
from sage.mailbox.clock import Clock
from sage.runtime.report import Instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart:
    """id: of the session.  config: as it runs."""

    id: str
    config: SageConfig
    run: Run
    clock: Clock


class Attachment(Protocol):
    """name: the key of its figures in the summary as JSON."""

    @property
    def name(self) -> str: ...

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        """The run is built, its sensors are closed. Raises UserError for what cannot work."""
        ...

    def begin(self, start: SessionStart) -> Instrument:
        """The sensors are open. UserError as `prepare`."""
        ...

    def notices(self) -> tuple[str, ...]:
        """Problems to show while the session runs."""
        ...

    def close(self) -> None:
        """The session has ended. Safe to call twice, and before `begin`."""
        ...

    def figures(self) -> dict[str, Any]:
        """Plain values, after `close`."""
        ...

    def lines(self) -> Sequence[str]:
        """For the end of the summary, after `close`."""
        ...


class Attachments:
    """Those of one session, used together."""

    def __init__(self, attachments: Sequence[Attachment] = ()) -> None:
        self._all = tuple(attachments)

    def prepare(self, config: SageConfig, run: Run, clock: Clock, stack: ExitStack) -> None:
        """stack: closes them."""
        for each in self._all:
            stack.callback(each.close)
            each.prepare(config, run, clock)

    def begin(self, start: SessionStart) -> list[Instrument]:
        return [each.begin(start) for each in self._all]

    def notices(self) -> tuple[str, ...]:
        return tuple(notice for each in self._all for notice in each.notices())

    def figures(self) -> dict[str, Any]:
        return {each.name: each.figures() for each in self._all}

    def lines(self) -> tuple[str, ...]:
        return tuple(line for each in self._all for line in each.lines())
