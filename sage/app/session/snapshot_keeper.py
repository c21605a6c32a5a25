"""Snapshots of a run: loaded at the start, written every ten minutes while the loop runs, and at the end.

The loop's thread only copies; another thread writes. Invariant: when a snapshot cannot be written, the
previous one stays, the problem is logged, and the loop continues.
"""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from sage.mailbox.clock import Clock
from sage.runtime.loop import Loop
from sage.runtime.report import Event, SleepReport, TickReport
from sage.runtime.snapshot import Snapshot, SnapshotNotFinite, capture_snapshot, load_snapshot, write_snapshot

log = structlog.get_logger("sage.app")
#: At most this much of a session is lost by a kill -9.
SNAPSHOT_SECS = 600.0


class SnapshotKeeper:
    """An Instrument. `attach` loads the newest snapshot into a loop; `close` writes the last one.

    num_written: snapshots written.  problem: why the last one was not written, "" when it was.
    """

    def __init__(self, home: Path, clock: Clock, *, every_secs: float = SNAPSHOT_SECS) -> None:
        self._home = home
        self._clock = clock
        self._every_ns = int(every_secs * 1e9)
        self._next_ns = clock.now_ns() + self._every_ns
        self._loop: Loop | None = None
        self._writing: threading.Thread | None = None
        self._written_tick = -1
        self.num_written = 0
        self.problem = ""

    def attach(self, loop: Loop) -> str:
        """Load the snapshot for these sensors into `loop`. Returns one line on the outcome."""
        self._loop = loop
        self._written_tick = loop.tick_count
        return load_snapshot(self._home, loop)

    def on_tick(self, report: TickReport) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns or (self._writing is not None and self._writing.is_alive()):
            return
        self._next_ns = now_ns + self._every_ns
        snapshot = self._capture()
        if snapshot is not None:
            self._writing = threading.Thread(
                target=self._write, args=(snapshot,), name="sage-snapshot", daemon=True
            )
            self._writing.start()

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def close(self) -> None:
        """Wait for a snapshot in progress, then write the last one."""
        if self._writing is not None:
            self._writing.join()
        snapshot = self._capture()
        if snapshot is not None:
            self._write(snapshot)

    def _capture(self) -> Snapshot | None:
        if self._loop is None or self._loop.tick_count == self._written_tick:
            return None  # no tick since the last snapshot
        self._written_tick = self._loop.tick_count
        try:
            return capture_snapshot(self._loop)
        except SnapshotNotFinite as error:
            self._report(str(error))
            return None

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_snapshot(self._home, snapshot)
        except OSError as error:
            self._report(str(error))
        else:
            self.num_written += 1
            self.problem = ""

    def _report(self, problem: str) -> None:
        self.problem = problem
        log.error("snapshot not written, the previous one stays", error=problem)
