"""What a run keeps for the next one: snapshots, and the journal of memories between them.

The first snapshot is written after 20 s, the next ones at twice that age and so on, up to every ten minutes;
one also after each accepted night. The loop's thread only copies; another thread writes. Invariant: when a
snapshot cannot be written, the previous one stays, the problem is logged and becomes an event, and the loop
continues.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from sage.app.session.heap import give_back_freed
from sage.app.session.memory_journal import MemoryJournal
from sage.mailbox.clock import Clock
from sage.runtime.loop import Loop
from sage.runtime.recovery import recover
from sage.runtime.report import Event, SleepOutcome, SleepReport, TickReport
from sage.runtime.snapshot import Snapshot, SnapshotNotFinite, capture_snapshot, snapshot_key, write_snapshot

log = structlog.get_logger("sage.app")
FIRST_SECS = 20.0
#: At most this much of a session's learned weights is lost by a kill -9.
SNAPSHOT_SECS = 600.0
#: A snapshot is written early when the journal has grown by this much.
MAX_JOURNAL_BYTES = 64 << 20
#: Between a snapshot that could not be written and the next try.
RETRY_SECS = 10.0


class SnapshotKeeper:
    """An Instrument. `attach` loads the newest snapshot and the journal into a loop; `save` writes the last
    one, and `close` too.

    num_written: snapshots written.  problem: why the last one was not written, "" when it was.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock,
        *,
        journal_home: Path,
        first_secs: float = FIRST_SECS,
        every_secs: float = SNAPSHOT_SECS,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._home = home
        self._journal_home = journal_home
        self._clock = clock
        self._wall_ns = wall_ns
        self._every_ns = int(every_secs * 1e9)
        self._wait_ns = min(int(first_secs * 1e9), self._every_ns)
        self._next_ns = clock.now_ns() + self._wait_ns
        self._loop: Loop | None = None
        self._journal: MemoryJournal | None = None
        self._writing: threading.Thread | None = None
        self._written_tick = -1
        self._loaded_ns = 0  # on the loop's clock
        self._bytes_at_snapshot = 0
        self._sequence = 0
        self._reported = ""
        self._used: list[Path] = []
        self.num_written = 0
        self.problem = ""

    @property
    def journal_problem(self) -> str:
        """Why changes of memory are not written now, "" when they are."""
        return self._journal.problem if self._journal is not None else ""

    @property
    def last_sequence(self) -> int:
        """Number of the journal's newest row; it may not be on the disk yet."""
        return self._journal.last_sequence if self._journal is not None else 0

    @property
    def acknowledged(self) -> int:
        """Every row of the journal up to this one is on the disk."""
        return self._journal.acknowledged if self._journal is not None else 0

    def attach(self, loop: Loop) -> str:
        """Load what an earlier run kept for these sensors into `loop`, and record its memories from now on.

        Returns one line on the outcome. JournalUnusable for a journal of another program or newer version.
        """
        self._loop = loop
        self._written_tick = loop.tick_count
        path = self._journal_home / f"{snapshot_key(loop)}.sqlite"
        self._loaded_ns, epoch_ns = self._clock.now_ns(), self._wall_ns()
        recovered = recover(self._home, path, loop, epoch_ns=epoch_ns)
        self._sequence = recovered.sequence
        self._journal = MemoryJournal(
            path,
            loop,
            recovered.contents,
            start_after=recovered.sequence,
            epoch_ns=epoch_ns,
        )
        if recovered.has_moved:  # later rows of the journal state slots as they are now
            self._written_tick = -1
            snapshot = self._capture()
            if snapshot is not None:
                self._write(snapshot)
        return recovered.message

    def begin(self) -> None:
        """Call once the loop is open, which may take long: from then on the run counts its time."""
        assert self._loop is not None
        assert self._journal is not None
        by_ns = self._loop.epoch_ns - self._loaded_ns
        self._loop.memory_writer.memory.postpone_start(by_ns)
        self._journal.postpone_start(by_ns)

    def delete_once_written(self, files: Iterable[Path]) -> None:
        """Before the first tick: files whose content the loop has now; the next snapshot has it too."""
        self._used += files

    def on_tick(self, report: TickReport) -> None:
        self._report_change()
        if not self._is_due() or self._is_writing:
            return
        self._wait_ns = min(2 * self._wait_ns, self._every_ns)
        self.begin_now()

    @property
    def _is_writing(self) -> bool:
        return self._writing is not None and self._writing.is_alive()

    def begin_now(self) -> threading.Thread | None:
        """Between two ticks: start writing a snapshot, or return the thread that writes one already; None
        where nothing has changed since the last one, or it could not be taken.
        """
        if self._is_writing:
            return self._writing
        self._next_ns = self._clock.now_ns() + self._wait_ns
        snapshot = self._capture()
        if snapshot is None:
            return None
        self._writing = threading.Thread(
            target=self._write_apart, args=([snapshot],), name="sage-snapshot", daemon=True
        )
        del snapshot
        try:
            self._writing.start()
        except RuntimeError as error:  # no thread is left: the next snapshot is due soon
            self._writing = None
            self._note_failure(str(error))
        return self._writing

    def on_sleep(self, report: SleepReport) -> None:
        if report.outcome is SleepOutcome.ACCEPTED:
            self._next_ns = self._clock.now_ns()

    def on_event(self, event: Event) -> None:
        if event.kind == "level":  # so that a stream goes on at the level that it has reached
            self._next_ns = self._clock.now_ns()

    def save(self) -> None:
        """Wait for a snapshot in progress, then write one unless nothing has changed since the last."""
        if self._writing is not None:
            self._writing.join()
        snapshot = self._capture()
        if snapshot is not None:
            self._write(snapshot)

    def close(self) -> None:
        """Write the last snapshot and close the journal."""
        self.save()
        if self._journal is not None:
            self._journal.close()

    def _is_due(self) -> bool:
        if self._clock.now_ns() >= self._next_ns:
            return True
        grown = self._journal.num_bytes - self._bytes_at_snapshot if self._journal is not None else 0
        return grown > MAX_JOURNAL_BYTES

    def _capture(self) -> Snapshot | None:
        if self._loop is None or self._journal is None or self._loop.tick_count == self._written_tick:
            return None  # no tick since the last snapshot
        self._bytes_at_snapshot = self._journal.num_bytes  # one that cannot be taken is tried by time
        about = {
            "saved_ns": self._wall_ns(),
            "epoch_ns": self._journal.epoch_ns(),
            "journal": self._journal.last_sequence,
        }
        try:
            snapshot = capture_snapshot(self._loop, about)
        except (SnapshotNotFinite, MemoryError) as error:
            self._report(str(error) or "not enough memory")
            return None
        self._written_tick = self._loop.tick_count
        return snapshot

    def _write_apart(self, taken: list[Snapshot]) -> None:
        """In a thread of its own. taken: one, which is taken out, so that it is freed once it is written."""
        self._write(taken.pop())
        give_back_freed()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_snapshot(self._home, snapshot)
        except (OSError, MemoryError) as error:
            self._note_failure(str(error) or "not enough memory")
            return
        self.num_written += 1
        self.problem = ""
        while self._used:
            with suppress(OSError):
                self._used.pop().unlink()
        if self._journal is not None:
            # Up to the snapshot before, which stays: were this one damaged, nothing would be lost.
            self._journal.prune(self._sequence)
            self._sequence = snapshot.about["journal"]

    def _note_failure(self, problem: str) -> None:
        """The next call tries again, also without another tick."""
        self._written_tick = -1
        self._next_ns = min(self._next_ns, self._clock.now_ns() + int(RETRY_SECS * 1e9))
        self._report(problem)

    def _report(self, problem: str) -> None:
        self.problem = problem
        log.error("snapshot not written, the previous one stays", error=problem)

    def _report_change(self) -> None:
        """An event when writing fails, and when it succeeds again."""
        problems = {"snapshot": self.problem, "memory journal": self.journal_problem}
        text = "; ".join(f"{name} not written: {problem}" for name, problem in problems.items() if problem)
        if text == self._reported or self._loop is None:
            return
        self._reported = text
        if self.journal_problem:
            log.error("memory journal not written, the loop continues", error=self.journal_problem)
        self._loop.note("storage", text or "snapshot and memory journal are written again")
