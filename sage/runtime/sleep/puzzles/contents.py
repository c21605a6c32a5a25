"""What a trainer's folder has kept, read without a trainer: the tables of its memory, and the puzzles of its
journal that came after them.

Invariant: nothing is changed. Ticks are of the newest run; those of earlier runs are OLD_TICK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sage.durable import Contents, DamagedFile
from sage.errors import DataError
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import StoredRow
from sage.runtime.sleep.puzzles.memory import OLD_TICK, TABLES, surprise_of
from sage.runtime.sleep.puzzles.process.plan import read_names
from sage.runtime.sleep.puzzles.runs import newest_run, read_snapshot
from sage.runtime.sleep.puzzles.store import JOURNAL, experience_of
from sage.runtime.sleep.puzzles.table import Provenance
from sage.runtime.solving.learner import SolutionSource

#: Name of the table of puzzles that came after the snapshot; the next run adds them to the others.
LATER = "journal"
#: Columns by which puzzles are chosen. 0 is unknown of episode and time_ns (unix ns).
CHOSEN_BY = ("number", "tick", "episode", "time_ns", "trust")
_KNOWN = ("provenance", "surprise", "calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPuzzles:
    """n puzzles of a level. level: its number, from 0.  table: one of TABLES, or LATER.  capacity: 0 where
    there is none.  num_bytes: of their arrays in the file.  cells, solutions: n arrays of (L,).
    columns: CHOSEN_BY, provenance, surprise and calls, (n,) each.
    """

    level: int
    table: str
    capacity: int
    num_bytes: int
    cells: Sequence[np.ndarray]
    solutions: Sequence[np.ndarray]
    columns: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """names: of the levels, empty where no file states them.  problems: what could not be read."""

    names: tuple[str, ...]
    puzzles: tuple[KeptPuzzles, ...]
    problems: tuple[str, ...]


def read_folder(folder: Path) -> FolderContents:
    """No process may use the folder. InputError for a memory, JournalUnusable for a journal of a newer
    version.
    """
    problems, snapshot = [], None
    try:
        snapshot = read_snapshot(folder)
    except DamagedFile as error:
        problems.append(str(error))
    journal = read_journal(folder / JOURNAL, after=0 if snapshot is None else snapshot.scalars["applied"])
    if journal.num_damaged:
        problems.append(f"{folder / JOURNAL}: {journal.num_damaged} damaged rows are left out")
    run = newest_run(snapshot, journal)
    tables = () if snapshot is None else _kept_tables(snapshot, run)
    later = _kept_rows(journal.rows, run)
    return FolderContents(
        names=level_names(folder, snapshot), puzzles=(*tables, *later), problems=tuple(problems)
    )


def level_names(folder: Path, snapshot: Contents | None) -> tuple[str, ...]:
    """Of the snapshot, else of the job; empty where neither states them."""
    if snapshot is not None:
        return tuple(str(each[0]) for each in snapshot.scalars["signature"])
    try:
        return read_names(folder)
    except (DataError, OSError):
        return ()


def tables_in(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """Level, name and arrays of each table of a result of PuzzleMemory.state."""
    keys = {tuple(key.split(".")[:2]) for key in arrays if key.count(".") == 2}
    for level, name in sorted(keys, key=lambda key: (int(key[0]), key[1])):
        start = f"{level}.{name}."
        yield (
            int(level),
            name,
            {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)},
        )


def columns_of(table: Mapping[str, np.ndarray], *, is_old: bool = False) -> dict[str, np.ndarray]:
    """CHOSEN_BY of the rows of a table; zeros where the table, of an earlier version, has none. is_old: of a
    run before the newest one.
    """
    found = {name: column_of(table, name) for name in CHOSEN_BY}
    return {**found, "tick": np.full(len(found["tick"]), OLD_TICK)} if is_old else found


def column_of(table: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """(n,), zeros where the table has none."""
    return table.get(name, np.zeros(len(table["cells"]), np.int64))


def columns_of_row(row: StoredRow, run: int | None = None) -> dict[str, np.ndarray]:
    """CHOSEN_BY of a row of a journal, (1,) each. run: the newest one, None where any row may be of it."""
    scalars = row.scalars
    tick = scalars.get("tick", OLD_TICK) if run in (None, row.episode) else OLD_TICK
    values = (scalars.get("number", 0), tick, scalars.get("episode", 0), row.wall_ns, row.trust)
    return {name: np.array([value]) for name, value in zip(CHOSEN_BY, values)}


def _kept_tables(snapshot: Contents, run: int | None) -> Iterator[KeptPuzzles]:
    capacities = [list(each[3:]) for each in snapshot.scalars["signature"]]
    for level, name, table in tables_in(snapshot.arrays):
        known = dict(zip(TABLES, capacities[level])) if level < len(capacities) else {}
        yield KeptPuzzles(
            level=level,
            table=name,
            capacity=known.get(name, 0),
            num_bytes=sum(array.nbytes for array in table.values()),
            cells=list(table["cells"]),
            solutions=list(table["solutions"]),
            columns={
                **columns_of(table, is_old=snapshot.scalars["run"] != run),
                **{key: column_of(table, key) for key in _KNOWN},
            },
        )


def _kept_rows(rows: Sequence[StoredRow], run: int | None) -> Iterator[KeptPuzzles]:
    for level in sorted({row.context for row in rows}):
        chosen = [row for row in rows if row.context == level]
        known = [_known_of(row) for row in chosen]
        columns = [columns_of_row(row, run) for row in chosen]
        yield KeptPuzzles(
            level=level,
            table=LATER,
            capacity=0,
            num_bytes=sum(array.nbytes for row in chosen for array in row.arrays.values()),
            cells=[each["cells"] for each in known],
            solutions=[each["solution"] for each in known],
            columns={
                **{name: np.concatenate([each[name] for each in columns]) for name in CHOSEN_BY},
                **{name: np.array([each[name] for each in known]) for name in _KNOWN},
            },
        )


def _known_of(row: StoredRow) -> dict[str, Any]:
    """As PuzzleMemory keeps an experience; whether the rules accept the solution is not judged here."""
    experience = experience_of(row)
    solution, source = experience.solution, experience.source
    if solution is None and experience.is_right:
        solution, source = experience.answer, SolutionSource.VERIFIED
    return {
        "cells": experience.cells,
        "solution": np.zeros_like(experience.cells) if solution is None else solution,
        "provenance": Provenance.NONE if solution is None else Provenance(int(source)),
        "surprise": surprise_of(replace(experience, solution=solution)),
        "calls": experience.num_calls,
    }
