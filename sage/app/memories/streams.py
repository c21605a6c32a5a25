"""The puzzles in the trainers' folders of a state directory, to be shown, searched and exported.

Invariant: reading changes nothing; a condition finds here what `sage memory forget` deletes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.config.state_dir import SOLVING_NAME
from sage.app.memories.archive import FIELDS
from sage.app.memories.terms import Term
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.hrm_core.tasks.contract import IGNORED, Task
from sage.runtime.sleep.puzzles.contents import KeptPuzzles, read_folder
from sage.runtime.sleep.puzzles.process.plan import read_job
from sage.runtime.sleep.puzzles.table import Provenance

#: A value of `store` that means every table. The `mind` of a puzzle is the name of its stream, its `context`
#: the number of its level.
STORE = "puzzles"
#: Fields of a puzzle beside those of a memory, in the order of an export.
PUZZLE_FIELDS = (
    "level",
    "number",
    "tick",
    "provenance",
    "surprise",
    "num_calls",
    "puzzle",
    "solution",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTable:
    """n puzzles of one table of one level. folder: of the trainer; its name is that of the stream.  level:
    its name, or its number where no file states one.
    """

    folder: Path
    level: str
    puzzles: KeptPuzzles

    def __len__(self) -> int:
        return len(self.puzzles.cells)

    @property
    def stream(self) -> str:
        return self.folder.name

    def meets(self, terms: Sequence[Term]) -> np.ndarray:
        """(n,) bool: which puzzles meet every term."""
        kept = self.puzzles
        return meets(
            kept.columns, terms, stream=self.stream, table=kept.table, level=kept.level, name=self.level
        )

    def fields(self, at: int, task: Task | None) -> dict[str, Any]:
        """One puzzle by the names in FIELDS and PUZZLE_FIELDS, plain values; None where it has none.

        task: of the level; None, or one without a text form, gives the numbers of the symbols as text.
        """
        kept = self.puzzles
        row = {name: column[at].item() for name, column in kept.columns.items()}
        cells, solution = self.cells(at)
        time_ns = row["time_ns"] or None
        episode = row["episode"] or None
        return {
            **dict.fromkeys(FIELDS),
            "mind": self.stream,
            "store": kept.table,
            "episode": episode,
            "first_episode": episode,
            "context": kept.level,
            "time_ns": time_ns,
            "first_time_ns": time_ns,
            "trust": row["trust"],
            "level": self.level,
            "number": row["number"],
            "tick": row["tick"] if row["tick"] >= 0 else None,
            "provenance": Provenance(row["provenance"]).name.lower(),
            "surprise": row["surprise"],
            "num_calls": row["calls"],
            "puzzle": text_of(task, cells),
            "solution": None if solution is None else text_of(task, solution),
        }

    def cells(self, at: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(L,) int32 of the puzzle, and of its solution, None where none is known."""
        cells = np.asarray(self.puzzles.cells[at], np.int32)
        if self.puzzles.columns["provenance"][at] == Provenance.NONE:
            return cells, None
        solution = np.asarray(self.puzzles.solutions[at], np.int32)
        return cells, np.where(solution == IGNORED, cells, solution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """All puzzles of a state directory. damaged: what could not be read, one line each."""

    tables: tuple[StreamTable, ...]
    damaged: tuple[str, ...]


def read_streams(state_dir: Path) -> Streams:
    """UserError for a folder of a newer version, or on a disk that fails."""
    tables: list[StreamTable] = []
    damaged: list[str] = []
    for folder in stream_folders(state_dir):
        try:
            found = read_folder(folder)
        except SageError as error:
            raise UserError(str(error)) from error
        damaged += [" ".join(problem.split()) for problem in found.problems]
        tables += [
            StreamTable(folder=folder, level=level_name(found.names, each.level), puzzles=each)
            for each in found.puzzles
        ]
    return Streams(tables=tuple(tables), damaged=tuple(damaged))


def stream_folders(state_dir: Path) -> list[Path]:
    return sorted(each for each in (state_dir / SOLVING_NAME).glob("*") if each.is_dir())


def level_name(names: Sequence[str], level: int) -> str:
    return names[level] if 0 <= level < len(names) else str(level)


def meets(
    columns: Mapping[str, np.ndarray],
    terms: Sequence[Term],
    *,
    stream: str,
    table: str,
    level: int,
    name: str,
) -> np.ndarray:
    """(n,) bool. A puzzle has no id and no salience: no condition on these holds, other than `!=`.

    level, name: of all of them.
    """
    num = len(columns["tick"])
    unknown = np.full(num, np.nan)
    known = {
        "id": unknown,
        "episode": _known(columns["episode"], above=0),
        "context": np.full(num, level),
        "time_ns": _known(columns["time_ns"], above=0),
        "salience": unknown,
        "trust": columns["trust"],
        "number": columns["number"],
        "tick": _known(columns["tick"], above=-1),
    }
    is_met = np.ones(num, bool)
    for term in terms:
        is_met &= term.holds(known, (table, STORE), stream, level=name)
    return is_met


def _known(column: np.ndarray, *, above: int) -> np.ndarray:
    """NaN where it is not above that."""
    return np.where(column > above, column, np.nan)


class Tasks:
    """The tasks of levels, made when a puzzle of theirs is written; None where they cannot be made here."""

    def __init__(self) -> None:
        self._of_folder: dict[Path, tuple[Task, ...]] = {}

    def of(self, table: StreamTable) -> Task | None:
        folder, level = table.folder, table.puzzles.level
        if folder not in self._of_folder:
            try:
                self._of_folder[folder] = read_job(folder).setup.tasks
            except (SageError, OSError):
                self._of_folder[folder] = ()
        tasks = self._of_folder[folder]
        return tasks[level] if 0 <= level < len(tasks) else None


def text_of(task: Task | None, cells: np.ndarray) -> str:
    """(L,) in the form that the task reads."""
    decode = _form(task, "decode", cells)
    return " ".join(map(str, cells.tolist())) if decode is None else decode(cells)


def drawing_of(task: Task | None, cells: np.ndarray) -> str:
    """(L,) as people draw it, several lines."""
    render = _form(task, "render", cells)
    return text_of(task, cells) if render is None else render(cells)


def _form(task: Task | None, name: str, cells: np.ndarray) -> Callable[[np.ndarray], str] | None:
    """A function of TextForm; None where the task has none, or the cells are of another task."""
    if task is None or task.spec.seq_len != len(cells):
        return None
    return getattr(task, name, None)
