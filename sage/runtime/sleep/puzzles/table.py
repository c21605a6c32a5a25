"""Rows of puzzles in arrays of constant size.

Invariant: no array grows or is replaced after construction.
Shapes: N rows of capacity, R cells of room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np


class Provenance(IntEnum):
    """Where a solution comes from. TEACHER: shown by the environment.  VERIFIED: the solver's own answer,
    awake.  SEARCH: found by a search at night.  GENERATED, ROLLED_OUT: dreams, of the task's generator and
    of the model's own answers; the rules verified them.  NONE: no solution is known.
    """

    NONE = 0
    TEACHER = 1
    VERIFIED = 2
    SEARCH = 3
    GENERATED = 4
    ROLLED_OUT = 5


#: Provenance of solutions that no puzzle of the life has brought.
DREAMED = (Provenance.GENERATED, Provenance.ROLLED_OUT)
_COLUMNS: dict[str, type[np.generic]] = {
    "number": np.int64,
    "tick": np.int64,
    "orbit": np.uint64,
    "provenance": np.int8,
    "trust": np.float32,
    "surprise": np.float32,
    "calls": np.int32,
    "priority": np.float64,
    "time_ns": np.int64,
    "episode": np.int64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleRow:
    """cells (L,) int32.  solution (L,) int32, None where none is known.  orbit: its key (tasks.orbits).
    trust, surprise: 0..1.  calls: of the model, spent on it.  time_ns: unix ns.  episode: of the loop's
    memory. Both are 0 where they are unknown.
    """

    number: int
    tick: int
    cells: np.ndarray
    solution: np.ndarray | None
    orbit: int
    provenance: Provenance
    trust: float
    surprise: float
    calls: int = 0
    time_ns: int = 0
    episode: int = 0


class PuzzleTable:
    """A ring of puzzle rows: `append` overwrites the oldest, `write` a chosen one. count: rows in use."""

    def __init__(self, capacity: int, room: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.num_written = 0
        self.cells = np.zeros((capacity, room), np.int16)
        self.solutions = np.zeros((capacity, room), np.int16)
        self.columns = {name: np.zeros(capacity, kind) for name, kind in _COLUMNS.items()}

    def append(self, row: PuzzleRow) -> None:
        index = self.num_written % self.capacity
        self.count = max(self.count, index + 1)
        self.write(index, row)

    def write(self, index: int, row: PuzzleRow, priority: float = 0.0) -> None:
        self.num_written += 1
        self.cells[index] = row.cells
        self.solutions[index] = 0 if row.solution is None else row.solution
        values = (row.number, row.tick, row.orbit, row.provenance, row.trust, row.surprise, row.calls)
        for name, value in zip(_COLUMNS, (*values, priority, row.time_ns, row.episode), strict=True):
            self.columns[name][index] = value

    def remove(self, index: int) -> None:
        """The other rows are then in the order in which they were appended, the oldest first."""
        order = oldest_first(self.count, self.num_written)
        kept = order[order != index]
        for _, array in self._arrays():
            array[: len(kept)] = array[kept]
        self.count = self.num_written = len(kept)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for _, array in self._arrays())

    def state(self) -> dict[str, np.ndarray]:
        """Copies of the rows in use, and the counters."""
        arrays = {name: array[: self.count].copy() for name, array in self._arrays()}
        return {**arrays, "num_written": np.array([self.num_written], np.int64)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a result of `state` of a table with this room. A column that it lacks, of an earlier
        version, is 0. Of a table with more rows those of the highest priority are kept, of equals the newest.
        """
        num, num_written = len(state["cells"]), int(state["num_written"][0])
        kept, self.num_written = np.arange(num), num_written
        if num > self.capacity or num < min(num_written, self.capacity):  # of a table of another capacity
            kept = oldest_first(num, num_written)
            if num > self.capacity:
                priority = state.get("priority", np.zeros(num))
                kept = kept[np.argsort(priority[kept], kind="stable")[-self.capacity :]]
            self.num_written = len(kept)
        self.count = len(kept)
        for name, array in self._arrays():
            array[: self.count] = state[name][kept] if name in state else 0

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        yield "cells", self.cells
        yield "solutions", self.solutions
        yield from self.columns.items()


def oldest_first(count: int, num_written: int) -> np.ndarray:
    """(count,) indices of the rows of a ring in the order in which they were appended."""
    oldest = num_written % count if num_written > count else 0
    return np.roll(np.arange(count), -oldest)
