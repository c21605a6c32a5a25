"""Several tasks as one: rows of each, padded to the longest, after a cell that identifies the task.

Invariant: the first cell identifies the task, so that each row is judged by its task's rules; it is not
scored.
Cells: 0 pad, 1..K the task's mark (in the first cell only), then symbols: shared by all tasks ("joined": the
same number is the same symbol) or in a range of its own for each task ("offset").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task, TaskSpec

Vocabulary = Literal["joined", "offset"]
PAD = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A task of a mixture. weight: its share of training rows, relative to the other weights."""

    task: Task
    weight: float = 1.0


class MixtureTask:
    """Training rows of the parts in proportion to their weights; held-out rows in equal numbers."""

    def __init__(
        self, parts: Sequence[Part], *, vocabulary: Vocabulary = "joined", name: str = "mixture"
    ) -> None:
        if len(parts) < 2:
            raise InputError(f"a mixture of {len(parts)} tasks: give two tasks or more")
        if vocabulary not in get_args(Vocabulary):
            raise InputError(f"vocabulary is {vocabulary!r}: give one of {', '.join(get_args(Vocabulary))}")
        for part in parts:
            if not 0 < part.weight < inf:
                raise InputError(f"weight is {part.weight} in a part: give a finite number above 0")
        self.parts = tuple(parts)
        self._specs = [part.task.spec for part in parts]
        weights = np.array([part.weight for part in parts], dtype=np.float64)
        self._shares = weights / weights.sum()
        sizes = [spec.vocab_size for spec in self._specs]
        first = 1 + len(parts)
        self._first_symbols = [
            first + (sum(sizes[:index]) if vocabulary == "offset" else 0) for index in range(len(parts))
        ]
        num_symbols = sum(sizes) if vocabulary == "offset" else max(sizes)
        self.spec = TaskSpec(
            name=name, vocab_size=first + num_symbols, seq_len=1 + max(spec.seq_len for spec in self._specs)
        )

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        index = rng.choice(len(self.parts), size=num, p=self._shares)
        return self._gathered(
            index, [part.task.sample(int((index == each).sum()), rng) for each, part in enumerate(self.parts)]
        )

    def held_out(self, num: int) -> Examples:
        """An equal number of rows of each task, alternating, so that the first rows contain every task."""
        each = [part.task.held_out(-(-num // len(self.parts))) for part in self.parts]
        order = sorted((row, index) for index, rows in enumerate(each) for row in range(len(rows)))[:num]
        index = np.array([task for _, task in order], dtype=np.int64)
        return self._gathered(
            index, [rows.take(slice(int((index == task).sum()))) for task, rows in enumerate(each)]
        )

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Check each row by its task's rules; an answer with symbols of another task is wrong."""
        is_valid = np.zeros(len(inputs), dtype=bool)
        for index, part in enumerate(self.parts):
            rows = np.flatnonzero(self.task_of(inputs) == index)
            shown, given = self._own(inputs[rows], index), self._own(answers[rows], index)
            is_known = ((given >= 0) & (given < self._specs[index].vocab_size)).all(1)
            if is_known.any():
                is_valid[rows[is_known]] = part.task.verify(shown[is_known], given[is_known])
        return is_valid

    def task_of(self, inputs: np.ndarray) -> np.ndarray:
        """(N,) the index of each row's part."""
        marks: np.ndarray = inputs[:, 0].astype(np.int64) - 1
        return marks

    def only(self, index: int) -> OneOfMixture:
        """One part in the mixture's form, to evaluate it separately."""
        return OneOfMixture(self, index)

    def wrapped(self, rows: Examples, index: int) -> Examples:
        """Convert rows of part `index` to the mixture's form."""
        shape = (len(rows), self.spec.seq_len)
        inputs, labels = np.full(shape, PAD, np.int32), np.full(shape, IGNORED, np.int32)
        inputs[:, 0] = index + 1
        last = 1 + self._specs[index].seq_len
        first = self._first_symbols[index]
        inputs[:, 1:last] = rows.inputs + first
        labels[:, 1:last] = np.where(rows.labels == IGNORED, IGNORED, rows.labels + first)
        return Examples(inputs=inputs, labels=labels, puzzle_ids=np.full(len(rows), -1, np.int32))

    def _gathered(self, index: np.ndarray, rows: Sequence[Examples]) -> Examples:
        """Rows in the order of `index`: row i is the next row of part index[i]."""
        whole = [self.wrapped(each, task) for task, each in enumerate(rows)]
        order = np.argsort(
            np.argsort(index, kind="stable"), kind="stable"
        )  # position of row i among the concatenated
        return Examples(
            inputs=np.concatenate([each.inputs for each in whole])[order],
            labels=np.concatenate([each.labels for each in whole])[order],
            puzzle_ids=np.concatenate([each.puzzle_ids for each in whole])[order],
        )

    def _own(self, cells: np.ndarray, index: int) -> np.ndarray:
        """(N, L) cells in the part's numbering; symbols of other tasks are outside its vocabulary."""
        own: np.ndarray = (
            cells[:, 1 : 1 + self._specs[index].seq_len].astype(np.int32) - self._first_symbols[index]
        )
        return own


class OneOfMixture:
    """A task with one part's rows in the mixture's form."""

    def __init__(self, mixture: MixtureTask, index: int) -> None:
        self._mixture, self._index = mixture, index
        spec, own = mixture.spec, mixture.parts[index].task.spec
        self.spec = TaskSpec(name=own.name, vocab_size=spec.vocab_size, seq_len=spec.seq_len)

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._mixture.wrapped(self._mixture.parts[self._index].task.sample(num, rng), self._index)

    def held_out(self, num: int) -> Examples:
        return self._mixture.wrapped(self._mixture.parts[self._index].task.held_out(num), self._index)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._mixture.verify(inputs, answers)
