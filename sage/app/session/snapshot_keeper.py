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
SNAPSHOT_SECS = 600.0  # what a kill -9 may cost


class SnapshotKeeper:
    """An Instrument. `attach` gives it the loop that it keeps; `close` writes the last snapshot.

    num_kept: snapshots written.  problem: why the last one was not, "" when it was.
    """

    def __init__(self, home: Path, clock: Clock, *, every_secs: float = SNAPSHOT_SECS) -> None:
        self._home, self._clock = home, clock
        self._every_ns = int(every_secs * 1e9)
        self._next_ns = clock.now_ns() + self._every_ns
        self._loop: Loop | None = None
        self._writing: threading.Thread | None = None
        self._kept_tick = -1
        self.num_kept = 0
        self.problem = ""

    def attach(self, loop: Loop) -> str:
        """Continue from what was kept for these sensors; says what happened."""
        self._loop, self._kept_tick = loop, loop.tick_count
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
        """Wait for the snapshot being written, then write the last one."""
        if self._writing is not None:
            self._writing.join()
        snapshot = self._capture()
        if snapshot is not None:
            self._write(snapshot)

    def _capture(self) -> Snapshot | None:
        if self._loop is None or self._loop.tick_count == self._kept_tick:
            return None  # nothing was lived since
        self._kept_tick = self._loop.tick_count
        try:
            return capture_snapshot(self._loop)
        except SnapshotNotFinite as error:
            self._say(str(error))
            return None

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_snapshot(self._home, snapshot)
        except OSError as error:
            self._say(str(error))
        else:
            self.num_kept += 1
            self.problem = ""

    def _say(self, problem: str) -> None:
        self.problem = problem
        log.error("snapshot not written, the previous one stays", error=problem)
