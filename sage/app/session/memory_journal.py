"""The journal of a run's memories: every change of H-memory becomes a row as soon as it happens.

Invariant: nothing here stops the loop: what cannot be written is counted and reported.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from sage.memory.stores.hmemory import StoreChange
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import JournalContents
from sage.memory.stores.journal_row import JournalRow
from sage.runtime.loop import Loop

log = structlog.get_logger("sage.app")


class MemoryJournal:
    """Records the changes of a loop's memory from construction until `close`.

    contents: of the file, as it was read.  A damaged file is renamed and its intact rows are written to a new
    one.  A file that cannot be opened is tried again; changes wait.  start_after: the snapshot's newest
    row.  epoch_ns: wall time of the run's start, unix ns.  JournalUnusable for a file that is not a journal.
    """

    def __init__(
        self,
        path: Path,
        loop: Loop,
        contents: JournalContents,
        *,
        start_after: int,
        epoch_ns: int,
    ) -> None:
        self._loop = loop
        self._epoch_ns = epoch_ns
        self._journal = Journal(
            path,
            contents=contents,
            start_after=max(start_after, contents.newest_sequence),
            may_open_later=True,
        )
        loop.memory_writer.memory.recorder = self._record

    @property
    def problem(self) -> str:
        """Why changes of memory are not written now, "" when they are."""
        return self._journal.problem

    @property
    def last_sequence(self) -> int:
        return self._journal.last_sequence

    @property
    def acknowledged(self) -> int:
        """Every row up to this one is on the disk."""
        return self._journal.acknowledged

    @property
    def num_bytes(self) -> int:
        """Of all rows since the start."""
        return self._journal.statistics().bytes_appended

    def epoch_ns(self) -> int:
        """Wall time of the run's start, unix ns; the same during a run, whatever happens to the clock."""
        return self._epoch_ns

    def postpone_start(self, by_ns: int) -> None:
        """The run starts `by_ns` later than was assumed. Before the first row."""
        self._epoch_ns += by_ns

    def prune(self, up_to: int) -> None:
        """Delete the rows that a snapshot includes."""
        self._journal.prune(up_to)

    def close(self) -> None:
        """Write what is queued."""
        self._loop.memory_writer.memory.recorder = None
        self._journal.close()
        statistics = self._journal.statistics()
        num_lost = statistics.num_dropped + statistics.num_queued
        if num_lost:
            log.error("changes of memory are not in the journal", number=num_lost, error=self.problem)

    def _record(self, change: StoreChange) -> None:
        """On the loop's thread."""
        self._journal.append(
            JournalRow(
                store=change.store,
                slot=change.slot,
                id=change.origin.id,
                first_id=change.first_id,
                episode=change.origin.episode,
                first_episode=change.origin.first_episode,
                context=change.context,
                epoch_ns=self.epoch_ns(),
                time_ns=change.time_ns,
                salience=change.salience,
                trust=change.trust,
                scalars=change.scalars,
                arrays=change.arrays,
            )
        )
