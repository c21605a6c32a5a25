"""`sage run --foxglove`: a session seen live in Foxglove, an Attachment of the session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from sage.app.config.sage_config import SageConfig
from sage.app.recording.channels import MessageSink
from sage.app.recording.feed import RunFeed
from sage.app.recording.foxglove_sink import FoxgloveSink
from sage.app.session.attachments import SessionStart
from sage.app.session.build import Run
from sage.mailbox.clock import Clock
from sage.runtime.report import Instrument

log = structlog.get_logger("sage.app")


class LiveServer:
    """port: 0 for a free one; the log has the address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sink: FoxgloveSink | None = None
        self._feed = RunFeed(self._opened, name="foxglove")

    @property
    def name(self) -> str:
        return "foxglove"

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        """Starts the server. UserError for a port that is taken, and without the package."""
        self._sink = FoxgloveSink(self._port, name=config.name)
        log.info("foxglove: open this address as a data source", address=self._sink.address)
        self._feed.prepare(config, run, clock)

    def begin(self, start: SessionStart) -> Instrument:
        return self._feed.begin(start)

    def notices(self) -> tuple[str, ...]:
        return self._feed.notices()

    def close(self) -> None:
        self._feed.close()
        if self._sink is not None:
            self._sink.close({})

    def figures(self) -> dict[str, Any]:
        found = self._feed.statistics()
        address = "" if self._sink is None else self._sink.address
        return {"address": address, "num_messages": found.num_messages, "num_dropped": found.num_dropped}

    def lines(self) -> Sequence[str]:
        found = self._feed.statistics()
        return [f"Foxglove: {found.num_messages:,} messages to viewers, {found.num_dropped:,} dropped"]

    def _opened(self, start: SessionStart, start_ns: int) -> MessageSink:
        assert self._sink is not None
        return self._sink
