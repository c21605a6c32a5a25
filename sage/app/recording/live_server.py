"""`sage run --foxglove` and `--rerun`: a session seen live in a viewer, an Attachment of the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from sage.app.config.sage_config import SageConfig
from sage.app.recording.channels import MessageSink
from sage.app.recording.feed import RunFeed
from sage.app.session.attachments import SessionStart
from sage.app.session.build import Run
from sage.mailbox.clock import Clock
from sage.runtime.report import Instrument

log = structlog.get_logger("sage.app")


class ViewerSink(MessageSink, Protocol):
    """A server on this machine. num_left_out: messages that it did not take, as a viewer does not read.
    `close` is safe to call twice.
    """

    num_left_out: int

    @property
    def address(self) -> str: ...

    def begin(self, start_ns: int) -> None:
        """start_ns: wall time of the session's start, before the first channel."""
        ...


class LiveServer:
    """viewer: its name.  make_sink: starts the server for a session of that name; UserError where it cannot.
    The log has the address.
    """

    def __init__(self, viewer: str, make_sink: Callable[[str], ViewerSink]) -> None:
        self._viewer = viewer
        self._make_sink = make_sink
        self._sink: ViewerSink | None = None
        self._feed = RunFeed(self._opened, name=self.name)

    @property
    def name(self) -> str:
        return self._viewer.lower()

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        """Starts the server. UserError for a port that is taken, and without the package."""
        self._sink = self._make_sink(config.name)
        log.info(f"{self.name}: open this address as a data source", address=self._sink.address)
        self._feed.prepare(config, run, clock)

    def begin(self, start: SessionStart) -> Instrument:
        return self._feed.begin(start)

    def notices(self) -> tuple[str, ...]:
        num = self._num_left_out
        stopped = (f"{self.name}: a viewer does not read: {num:,} messages left out",) if num else ()
        return (*self._feed.notices(), *stopped)

    def close(self) -> None:
        self._feed.close()
        if self._sink is not None:
            self._sink.close({})

    def figures(self) -> dict[str, Any]:
        found = self._feed.statistics()
        address = "" if self._sink is None else self._sink.address
        num_dropped = found.num_dropped + self._num_left_out
        return {"address": address, "num_messages": found.num_messages, "num_dropped": num_dropped}

    def lines(self) -> Sequence[str]:
        found = self.figures()
        return [
            f"{self._viewer}: {found['num_messages']:,} messages to viewers, {found['num_dropped']:,} dropped"
        ]

    @property
    def _num_left_out(self) -> int:
        return 0 if self._sink is None else self._sink.num_left_out

    def _opened(self, start: SessionStart, start_ns: int) -> MessageSink:
        assert self._sink is not None
        self._sink.begin(start_ns)
        return self._sink
