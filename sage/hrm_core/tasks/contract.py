"""The contract between a task and everything that trains, evaluates, solves or draws it.

Invariant: arrays are numpy, batched, of the shapes named here; a label that does not count is IGNORED.
Shapes: N examples, L cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sage.errors import InputError

#: A label that is neither trained on nor scored (the models' losses use the same number).
IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """The shape of a task for a model.  grid: (rows, columns) when the cells form one, else None.
    num_puzzle_ids: 0 when examples carry no identity of their own.  is_causal: cell i may look only at cells
    up to i (text).
    box: rows and columns of the boxes that the grid falls into.  alike_from: symbols >= alike_from are
    interchangeable.  blank: the symbol of a cell that is still to be filled, None where no symbol means that.
    is_unique: a proper puzzle has exactly one solution; `encode` refuses others (see `proper`).
    """

    name: str
    vocab_size: int
    seq_len: int
    grid: tuple[int, int] | None = None
    num_puzzle_ids: int = 0
    is_causal: bool = False
    box: tuple[int, int] | None = None
    alike_from: int | None = None
    blank: int | None = None
    is_unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """inputs (N, L) int32, labels (N, L) int32 with IGNORED, puzzle_ids (N,) int32, -1 where there is
    none.
    """

    inputs: np.ndarray
    labels: np.ndarray
    puzzle_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: np.ndarray | slice) -> Examples:
        return Examples(inputs=self.inputs[rows], labels=self.labels[rows], puzzle_ids=self.puzzle_ids[rows])

    def answers(self) -> np.ndarray:
        """(N, L) int32 what a perfect model says: the labels, and the input where no label counts."""
        return np.where(self.labels == IGNORED, self.inputs, self.labels)


def check_examples(examples: Examples, spec: TaskSpec) -> None:
    """InputError with the array whose kind, shape or values are not as `Examples` and `spec` state them."""
    for name in ("inputs", "labels", "puzzle_ids"):
        array = getattr(examples, name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(f"{name} are {kind}: give an array of int32")
    shape = (len(examples.puzzle_ids), spec.seq_len)
    for name in ("inputs", "labels"):
        if getattr(examples, name).shape != shape:
            raise InputError(f"{name} have shape {getattr(examples, name).shape}: give {shape}")
    inputs, labels, ids = examples.inputs, examples.labels, examples.puzzle_ids
    _check_range("inputs", inputs, 0, spec.vocab_size - 1)
    hint = f", or {IGNORED} to ignore one"
    _check_range("labels", labels, 0, spec.vocab_size - 1, hint, where=labels != IGNORED)
    if spec.num_puzzle_ids:
        _check_range("puzzle_ids", ids, -1, spec.num_puzzle_ids - 1)


def _check_range(
    name: str, values: np.ndarray, low: int, high: int, hint: str = "", where: np.ndarray | bool = True
) -> None:
    least, most = (get(initial=0, where=where) for get in (values.min, values.max))
    if not low <= least <= most <= high:
        raise InputError(f"{name} are {least} to {most}: give {low} to {high}{hint}")


class Task(Protocol):
    """One kind of problem. Generated or loaded, the rest of the code uses both alike."""

    @property
    def spec(self) -> TaskSpec: ...

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        """`num` training examples: fresh ones, or drawn from what was loaded, already moved by a random
        symmetry.
        """
        ...

    def held_out(self, num: int) -> Examples:
        """The first `num` (or all there are) of a fixed evaluation set, the same in every run, never in
        `sample`.
        """
        ...

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool: is answers (N, L) a valid solution of inputs (N, L)? Judged by the task's rules, not by
        labels.
        """
        ...


class HeldOutDraws(Protocol):
    """A task that can make other evaluation sets than its fixed one."""

    def draw_held_out(self, num: int, seed: Sequence[int], without: Examples) -> Examples:
        """The first `num` (or all there are) of the evaluation set of this seed: none in `sample` or in
        `without`. The same for equal arguments, and the first ones of a larger `num`. seed: 0 or more each.
        """
        ...


class PartialCheck(Protocol):
    """A task whose puzzles can be searched: a partial answer can be checked, and given to a model.

    inputs (N, L) int32: puzzles.  partial (N, L) int32: the same puzzles with some choices added. In a task
    with `TaskSpec.blank` a choice fills a blank cell; in a task of steps (see StepChoices) it appends a step.
    """

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool: False where the choices already break a rule, so that no completion is valid.

        It compares choices with the puzzle and with each other; it derives nothing.
        """
        ...

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N, L) int32: the puzzle that remains after the choices, in the form that a model reads."""
        ...

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: answers to `as_inputs(inputs, partial)`, rewritten as answers to `inputs`."""
        ...


class StepChoices(Protocol):
    """A searchable task whose partial answer grows step by step: the prefix of a path or of a move list."""

    def next_choices(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(K, 2) int32: (cell, symbol) of each step that may follow; inputs and partial (L,). One puzzle.

        Writing `symbol` into `cell` of partial appends the step. K is 0 in a dead end and after the last one.
        """
        ...


class ChoiceScores(Protocol):
    """A searchable task where an answer to `as_inputs` has other cells or symbols than the choices that it
    implies: move lists that start again, colours that are numbered again. Without it they are the same.
    """

    def choice_log_probs(self, inputs: np.ndarray, partial: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """(N, L, V): entry (cell, symbol) is the log-probability of choosing that symbol in that cell of
        partial.

        log_probs (N, L, V): a model's, of its answers to `as_inputs(inputs, partial)`.
        """
        ...


class SolutionCount(Protocol):
    """A task that counts solutions by its own rules, without a model."""

    def count_solutions(self, inputs: np.ndarray, *, at_most: int = 2) -> int | None:
        """Number of solutions of inputs (L,), up to `at_most`; None if a step limit ended the count."""
        ...


class TextForm(Protocol):
    """A task whose puzzles people can type and read; most are."""

    def encode(self, text: str) -> np.ndarray:
        """(L,) int32. InputError that says what is wrong with the puzzle (length, symbol, contradiction, too
        few givens).
        """
        ...

    def decode(self, cells: np.ndarray) -> str:
        """(L,) to the form that `encode` reads."""
        ...

    def render(self, cells: np.ndarray) -> str:
        """(L,) as people draw it, several lines."""
        ...


class WithGivens(Protocol):
    """A task whose labels leave out the cells that a puzzle fixes: a model learns nothing of them, and what
    it gives there is replaced before an answer is judged, shown or learned from.
    """

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N, L) int32: answers (N, L) with the cells of inputs (N, L) that no answer changes."""
        ...


class AnySide(Protocol):
    """A task of square grids whose text form shows their side, for models that solve several sizes."""

    def sides(self, text: str) -> list[int]:
        """Sides that the puzzle of a text may have, the likeliest first; empty where it is no square."""
        ...


class Symmetric(Protocol):
    """A task whose examples stay valid under a group: training sees each one many ways, answers can be voted
    on.
    """

    def transform(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """A random element of the group for each row; labels stay right (a maze is solved again, not
        rotated).
        """
        ...


class Graded(Protocol):
    """A task where an answer can be right in part."""

    def scores(self, examples: Examples, answers: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64 in 0..1, such as the share of clauses satisfied."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """An untrained baseline, shown beside a model's accuracy. answers (N, L) int32."""

    name: str
    answers: np.ndarray


class WithBaseline(Protocol):
    """A task with a baseline that needs no learning."""

    def baseline(self, inputs: np.ndarray) -> Baseline: ...
