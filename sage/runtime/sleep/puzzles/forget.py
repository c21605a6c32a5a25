"""Delete chosen experiences from a trainer's folder, so that no later practice or night has them.

Invariant: a crash leaves each file complete, and the same call again deletes what it had left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.durable import Contents, read_checked, write_checked
from sage.errors import SageError
from sage.memory.stores.journal_file import JournalContents, read_journal, restart_journal
from sage.memory.stores.journal_pages import FoundRows, find_rows
from sage.memory.stores.journal_row import StoredRow, renumbered
from sage.memory.stores.journal_swap import files_of, present
from sage.runtime.sleep.puzzles.contents import (
    LATER,
    column_of,
    columns_of,
    columns_of_row,
    tables_in,
)
from sage.runtime.sleep.puzzles.runs import newest_run, read_snapshot
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, MEMORY_SCHEMA
from sage.runtime.sleep.puzzles.table import oldest_first

#: Level, table (LATER for rows of a journal) and the columns CHOSEN_BY of n experiences -> (n,) bool.
Choice = Callable[[int, str, Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenPuzzles:
    """num_by_table: deleted rows of each table of the trainer's memory, over all levels, and as LATER those
    of the journal that the memory does not have.  num_rows: deleted rows of the journal's file.
    num_undated: rows, of an earlier version, of which neither time nor episode is known.
    """

    num_by_table: dict[str, int]
    num_rows: int
    num_undated: int


def forget_experiences(folder: Path, choose: Choice, *, is_dry: bool = False) -> ForgottenPuzzles:
    """Delete the experiences that `choose` marks. is_dry: only count. Weights are not changed.

    No process may use the folder. SageError, and nothing is changed, where a file cannot be read.
    """
    snapshot = read_snapshot(folder)
    applied = 0 if snapshot is None else int(snapshot.scalars["applied"])
    journal = read_journal(folder / JOURNAL)  # also rows that the snapshot includes, while they are there
    run = newest_run(snapshot, journal)
    num_by_table: dict[str, int] = {}
    num_undated = 0
    arrays = {} if snapshot is None else dict(snapshot.arrays)
    is_old = snapshot is not None and snapshot.scalars["run"] != run
    for level, name, table in tables_in(arrays):
        is_chosen = choose(level, name, columns_of(table, is_old=is_old))
        num_by_table[name] = num_by_table.get(name, 0) + int(is_chosen.sum())
        num_undated += int((column_of(table, "time_ns") == 0).sum())
        if is_chosen.any():
            arrays |= {f"{level}.{name}.{key}": each for key, each in _without(table, is_chosen).items()}
    kept = [row for row in journal.rows if not _is_chosen(row, choose, run)]
    num_rows = len(journal.rows) - len(kept)
    kept = [row for row in kept if row.sequence > applied]
    num_later = sum(row.sequence > applied for row in journal.rows)
    if num_later:
        num_by_table[LATER] = num_later - len(kept)
    # also rows that were deleted
    may_hold_some = _may_hold(find_rows(present(folder / JOURNAL)), choose, run)
    if not is_dry and (may_hold_some or any(num_by_table.values())):
        _write(folder, snapshot, arrays, journal, kept)
    return ForgottenPuzzles(num_by_table=num_by_table, num_rows=num_rows, num_undated=num_undated)


def leftovers_of(folder: Path) -> list[Path]:
    """Damaged files, and what a crash left."""
    own = files_of(folder / JOURNAL)
    return sorted(each for name in ("*.damaged", ".*") for each in folder.glob(name) if each not in own)


def may_hold(path: Path, choose: Choice) -> bool:
    """Whether a leftover has an experience that `choose` marks, or cannot be read."""
    if path.name.startswith(JOURNAL):
        found = find_rows(path)
        return _may_hold(found, choose) or not found.rows
    try:
        arrays = read_checked(path, schema=MEMORY_SCHEMA).arrays
    except (SageError, IsADirectoryError):
        return True
    return any(choose(level, name, columns_of(table)).any() for level, name, table in tables_in(arrays))


def _may_hold(found: FoundRows, choose: Choice, run: int | None = None) -> bool:
    return bool(found.unreadable) or any(_is_chosen(row, choose, run) for row in found.rows.values())


def _is_chosen(row: StoredRow, choose: Choice, run: int | None) -> bool:
    return bool(choose(row.context, LATER, columns_of_row(row, run))[0])


def _write(
    folder: Path,
    snapshot: Contents | None,
    arrays: Mapping[str, np.ndarray],
    journal: JournalContents,
    kept: list[StoredRow],
) -> None:
    if snapshot is not None:
        write_checked(
            folder / MEMORY, Contents(arrays=arrays, scalars=snapshot.scalars), schema=MEMORY_SCHEMA
        )
    if present(folder / JOURNAL).exists():
        restart_journal(folder / JOURNAL, tuple(renumbered(kept, journal.newest_sequence)))


def _without(table: Mapping[str, np.ndarray], is_chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The table without these rows, the oldest first."""
    order = oldest_first(len(is_chosen), int(table["num_written"][0]))
    kept = order[~is_chosen[order]]
    arrays = {name: array[kept] for name, array in table.items() if name != "num_written"}
    return {**arrays, "num_written": np.array([len(kept)], np.int64)}
