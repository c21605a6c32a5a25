"""Training rows drawn from remembered puzzles and moved by the symmetries of their task.

Invariant: no row is examined: an image under a symmetry that falls on an examined puzzle is left out.
Shapes: N rows, L cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.tasks.orbits import are_examined, orbit_keys
from sage.hrm_core.tasks.split import without_ids
from sage.runtime.sleep.puzzles.table import DREAMED, PuzzleTable

RECENT_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """inputs, labels (N, L) int32.  weights (N,): how often a row is drawn.  provenance (N,) int8."""

    inputs: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    provenance: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def is_dreamed(self) -> np.ndarray:
        """(N,) bool."""
        found: np.ndarray = np.isin(self.provenance, [int(each) for each in DREAMED])
        return found

    @property
    def dreamed_share(self) -> float:
        """Of the draws, 0..1."""
        return float(self.weights[self.is_dreamed].sum() / max(self.weights.sum(), 1e-12))

    @classmethod
    def of(cls, table: PuzzleTable) -> Pool:
        """A copy of the rows in use, each with weight 1."""
        rows = slice(table.count)
        return cls(
            inputs=table.cells[rows].astype(np.int32),
            labels=table.solutions[rows].astype(np.int32),
            weights=np.ones(table.count),
            provenance=table.columns["provenance"][rows].copy(),
        )

    @classmethod
    def joined(cls, pools: Sequence[Pool]) -> Pool:
        return cls(
            inputs=np.concatenate([each.inputs for each in pools]),
            labels=np.concatenate([each.labels for each in pools]),
            weights=np.concatenate([each.weights for each in pools]),
            provenance=np.concatenate([each.provenance for each in pools]),
        )


class PoolTask:
    """A pool as a task: `sample` draws rows by their weights; rules and shape are those of the task."""

    def __init__(self, pool: Pool, task: Task, *, moves: bool) -> None:
        self.spec = task.spec
        self._pool = pool
        self._task = task
        self._moves = moves
        self._shares = pool.weights / pool.weights.sum()

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        rows = rng.choice(len(self._pool), size=num, p=self._shares)
        return moved(
            self._task,
            without_ids(self._pool.inputs[rows], self._pool.labels[rows]),
            rng,
            moves=self._moves,
        )

    def held_out(self, num: int) -> Examples:
        return self._task.held_out(num)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._task.verify(inputs, answers)

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """As `Task.transform`, where the task has symmetries and this pool uses them."""
        return moved(self._task, examples, rng, moves=self._moves)


class TaskRows:
    """A RowSource over a task."""

    def __init__(self, task: Task, rng: np.random.Generator) -> None:
        self._task = task
        self._rng = rng

    def take(self, num: int) -> Examples:
        return self._task.sample(num, self._rng)


class RecentRows:
    """A RowSource over two tables: RECENT_SHARE of the rows from `recent`, the others from `replayed`;
    all from `recent` while the other is empty.
    """

    def __init__(
        self,
        recent: PuzzleTable,
        replayed: PuzzleTable,
        task: Task,
        rng: np.random.Generator,
        *,
        moves: bool,
    ) -> None:
        self._tables = recent, replayed
        self._task = task
        self._rng = rng
        self._moves = moves

    def take(self, num: int) -> Examples:
        recent, replayed = self._tables
        num_recent = int(self._rng.binomial(num, RECENT_SHARE)) if replayed.count else num
        parts = []
        for table, count in ((recent, num_recent), (replayed, num - num_recent)):
            rows = self._rng.integers(0, table.count, count)
            parts.append((table.cells[rows], table.solutions[rows]))
        inputs, labels = (np.concatenate(each) for each in zip(*parts))
        return moved(self._task, without_ids(inputs, labels), self._rng, moves=self._moves)


def moved(task: Task, examples: Examples, rng: np.random.Generator, *, moves: bool) -> Examples:
    """Each row under a random symmetry of the task, if `moves` and it has some. A task without orbit keys
    may turn a row into an examined one: that row stays as it is.
    """
    transform = getattr(task, "transform", None)
    if not moves or transform is None or not len(examples):
        return examples
    found: Examples = transform(examples, rng)
    if hasattr(task, "orbit_keys"):
        return found
    is_kept = ~are_examined(orbit_keys(task, found.inputs))[:, None]
    return Examples(
        inputs=np.where(is_kept, found.inputs, examples.inputs),
        labels=np.where(is_kept, found.labels, examples.labels),
        puzzle_ids=examples.puzzle_ids,
    )
