"""The snapshot of a trainer's folder, and the run that left the folder. Nothing is changed."""

from __future__ import annotations

from pathlib import Path

from sage.durable import Contents, DamagedFile, read_checked
from sage.memory.stores.journal_file import JournalContents, read_journal
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, MEMORY_SCHEMA


def read_snapshot(folder: Path) -> Contents | None:
    """None where there is none. Errors as `sage.durable.read_checked`."""
    try:
        return read_checked(folder / MEMORY, schema=MEMORY_SCHEMA)
    except FileNotFoundError:
        return None


def last_run(folder: Path) -> int:
    """The run that left the folder; 0, which is no run's number, where no file states it. Errors as
    `read_journal`.
    """
    try:
        snapshot = read_snapshot(folder)
    except DamagedFile:
        snapshot = None
    return newest_run(snapshot, read_journal(folder / JOURNAL)) or 0


def newest_run(snapshot: Contents | None, journal: JournalContents) -> int | None:
    """The run whose ticks are stated: of the journal's newest row, else of the snapshot."""
    if journal.rows:
        return journal.rows[-1].episode
    return None if snapshot is None else int(snapshot.scalars["run"])
