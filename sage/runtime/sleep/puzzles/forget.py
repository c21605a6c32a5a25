"""Delete chosen experiences from a trainer's folder, so that no later practice or night has them.

Invariant: a crash leaves each file complete, and the same call again deletes what it had left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sage.durable import Contents, read_checked, write_checked
from sage.errors import SageError
from sage.memory.stores.journal_file import JournalContents, read_journal, restart_journal
from sage.memory.stores.journal_pages import FoundRows, find_rows
from sage.memory.stores.journal_row import StoredRow, renumbered
from sage.memory.stores.journal_swap import files_of, present
from sage.runtime.sleep.puzzles.store import JOURNAL, MEMORY, MEMORY_SCHEMA
from sage.runtime.sleep.puzzles.table import oldest_first

#: Of n experiences: level, episode, time_ns (unix ns) and trust, (n,) each -> (n,) bool.
Choice = Callable[[Mapping[str, np.ndarray]], np.ndarray]
_CHOSEN_BY = ("level", "episode", "time_ns", "trust")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenPuzzles:
    """num_by_table: deleted rows of each table of the trainer's memory, over all levels.  num_rows: deleted
    rows of its journal.  num_undated: rows, of an earlier version, of which neither time nor episode is
    known.
    """

    num_by_table: dict[str, int]
    num_rows: int
    num_undated: int


def forget_experiences(folder: Path, choose: Choice, *, is_dry: bool = False) -> ForgottenPuzzles:
    """Delete the experiences that `choose` marks. is_dry: only count. Weights are not changed.

    No process may use the folder. SageError, and nothing is changed, where a file cannot be read.
    """
    snapshot = _snapshot(folder)
    applied = 0 if snapshot is None else int(snapshot.scalars["applied"])
    journal = read_journal(folder / JOURNAL)  # also rows that the snapshot includes, while they are there
    num_by_table: dict[str, int] = {}
    num_undated = 0
    arrays = {} if snapshot is None else dict(snapshot.arrays)
    for level, name, table in _tables(arrays):
        is_chosen = choose(_columns_of(level, table))
        num_by_table[name] = num_by_table.get(name, 0) + int(is_chosen.sum())
        num_undated += int((_column(table, "time_ns") == 0).sum())
        if is_chosen.any():
            arrays |= {f"{level}.{name}.{key}": each for key, each in _without(table, is_chosen).items()}
    kept = [row for row in journal.rows if not choose(_columns_of_row(row))[0]]
    num_rows = len(journal.rows) - len(kept)
    kept = [row for row in kept if row.sequence > applied]
    may_hold_some = _may_hold(find_rows(present(folder / JOURNAL)), choose)  # also of rows that were deleted
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
    return any(choose(_columns_of(level, table)).any() for level, _, table in _tables(arrays))


def _may_hold(found: FoundRows, choose: Choice) -> bool:
    return bool(found.unreadable) or any(choose(_columns_of_row(row))[0] for row in found.rows.values())


def _snapshot(folder: Path) -> Contents | None:
    try:
        return read_checked(folder / MEMORY, schema=MEMORY_SCHEMA)
    except FileNotFoundError:
        return None


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


def _tables(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """Level, name and arrays of each table of a result of PuzzleMemory.state."""
    keys = sorted({tuple(key.split(".")[:2]) for key in arrays if key.count(".") == 2})
    for level, name in keys:
        start = f"{level}.{name}."
        yield (
            int(level),
            name,
            {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)},
        )


def _columns_of(level: int, table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {name: _column(table, name) for name in _CHOSEN_BY[1:]}
    return {"level": np.full(len(table["cells"]), level), **found}


def _column(table: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(n,); zeros where the table, of an earlier version, has none."""
    return table.get(name, np.zeros(len(table["cells"]), np.int64))


def _columns_of_row(row: StoredRow) -> dict[str, np.ndarray]:
    episode = row.scalars.get("episode", 0)
    values = (row.context, episode, row.wall_ns, row.trust)
    return {name: np.array([value]) for name, value in zip(_CHOSEN_BY, values)}


def _without(table: Mapping[str, np.ndarray], is_chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The table without these rows, the oldest first."""
    order = oldest_first(len(is_chosen), int(table["num_written"][0]))
    kept = order[~is_chosen[order]]
    arrays = {name: array[kept] for name, array in table.items() if name != "num_written"}
    return {**arrays, "num_written": np.array([len(kept)], np.int64)}
