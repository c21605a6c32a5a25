"""`sage run --record`: a session as an MCAP file, an Attachment of the session."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sage.about import __version__
from sage.app.config.sage_config import SageConfig, config_hash, effective
from sage.app.recording.channels import MessageSink
from sage.app.recording.feed import RunFeed
from sage.app.recording.mcap_sink import McapSink, RunRecord, check_output, unused_path
from sage.app.session.attachments import SessionStart
from sage.app.session.build import Run
from sage.app.terminal import figures
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.report import Instrument
from sage.sensors.recordings.codec import plain_spec


class Recorder:
    """path: ends in .mcap; where it exists, the recording is NAME_2.mcap and so on.  max_bytes: a series of
    files within that budget, after those that are there.  jpeg: pictures as JPEG.

    Raises UserError for a path that cannot be written.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None, jpeg: bool = False) -> None:
        check_output(path, max_bytes)
        self._path = path if max_bytes is not None else unused_path(path)
        self._max_bytes = max_bytes
        self._feed = RunFeed(self._make_sink, jpeg=jpeg, name="recording")
        self._sink: McapSink | None = None

    @property
    def name(self) -> str:
        return "recording"

    def prepare(self, config: SageConfig, run: Run, clock: Clock) -> None:
        self._feed.prepare(config, run, clock)

    def begin(self, start: SessionStart) -> Instrument:
        """UserError for a file that cannot be written, and for a budget that the channels alone take."""
        instrument = self._feed.begin(start)
        assert self._sink is not None
        self._sink.check_budget()
        return instrument

    def notices(self) -> tuple[str, ...]:
        return self._feed.notices()

    def close(self) -> None:
        self._feed.close()

    def figures(self) -> dict[str, Any]:
        found = self._feed.statistics()
        return {
            "files": [str(path) for path in self._files()],
            "num_messages": found.num_messages,
            "num_dropped": found.num_dropped,
            "num_unwritable": found.num_unwritable,
            "num_bytes": self._num_bytes(),
            "problem": found.problem,
            "digest": self._feed.run_digest,
        }

    def lines(self) -> Sequence[str]:
        found = self._feed.statistics()
        files = self._files()
        where = str(files[-1]) if len(files) == 1 else f"{len(files)} files, the last one {files[-1]}"
        size = figures.num_bytes(self._num_bytes())
        lines = [
            f"Recording: {where}: {found.num_messages:,} messages, {size}, {found.num_dropped:,} dropped"
        ]
        if found.num_unwritable:
            lines.append(f"The recording lacks {found.num_unwritable:,} messages that could not be written")
        if found.problem:
            lines.append(f"The recording stopped before the end: {found.problem}")
        return lines

    def _files(self) -> list[Path]:
        return [self._path] if self._sink is None else self._sink.paths

    def _num_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._files() if path.exists())

    def _make_sink(self, start: SessionStart, start_ns: int) -> MessageSink:
        try:
            self._sink = McapSink(self._path, _record(start, start_ns), max_bytes=self._max_bytes)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"--record {self._path}: {reason}: give a file that can be written") from error
        return self._sink


def _record(start: SessionStart, start_ns: int) -> RunRecord:
    config = start.config
    run = {
        "session": start.id,
        "name": config.name,
        "config_hash": config_hash(config),
        "seed": str(config.seed),
        "clock": "manual" if isinstance(start.clock, ManualClock) else "real",
        "start_ns": str(start_ns),
        "sources": "\n".join(driver.spec.name for driver in start.run.loop.senses.drivers),
        "sage": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    specs = tuple(plain_spec(spec) for spec in start.run.loop.effector_gate.specs)
    return RunRecord(run=run, effectors=specs, config=effective(config))
