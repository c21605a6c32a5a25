"""Which choices may follow a partial answer, and how probable the model finds each.

Invariant: the choices of one partial answer cover every valid completion: none is left out for being
improbable.
Shapes: L cells, V symbols, K choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from sage.hrm_core.solving.settings import Branching
from sage.hrm_core.tasks.contract import ChoiceScores, PartialCheck, StepChoices, TaskSpec

#: Probabilities are compared after rounding: of equal ones, the rounding of a matrix product picks none.
DECIMALS = 4
#: The lowest log probability of a choice: one of probability 0 comes last, and is not lost.
LEAST = -1000.0
#: A symbol with at least this probability is a candidate of its cell (branching "fewest").
MIN_CANDIDATE = 0.05


class Searchable(PartialCheck, Protocol):
    """A task that can be searched: it has a blank symbol, or it is a StepChoices too."""

    @property
    def spec(self) -> TaskSpec: ...

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray: ...


def as_searchable(task: object) -> Searchable | None:
    """The task itself if it can be searched, else None."""
    spec = getattr(task, "spec", None)
    methods = ("verify", "may_extend", "as_inputs", "complete")
    if not isinstance(spec, TaskSpec) or not all(callable(getattr(task, name, None)) for name in methods):
        return None
    if spec.blank is None and not callable(getattr(task, "next_choices", None)):
        return None
    return cast(Searchable, task)


def choice_log_probs(
    task: Searchable, puzzles: np.ndarray, partials: np.ndarray, log_probs: np.ndarray
) -> np.ndarray:
    """(N, L, V) of each (cell, symbol) as a choice, at least LEAST; log_probs (N, L, V): of the model's
    answers.
    """
    rewrite = getattr(task, "choice_log_probs", None)
    if rewrite is not None:
        log_probs = cast(ChoiceScores, task).choice_log_probs(puzzles, partials, log_probs)
    found: np.ndarray = np.maximum(log_probs, LEAST)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """choices (K, 2) int64: cell and symbol.  partials (K, L) int32.  log_probs (K,) float64."""

    choices: np.ndarray
    partials: np.ndarray
    log_probs: np.ndarray


def children_of(
    task: Searchable, puzzle: np.ndarray, partial: np.ndarray, log_probs: np.ndarray, branching: Branching
) -> Children:
    """The partial answers with one choice more that break no rule. puzzle, partial (L,); log_probs (L, V)."""
    next_choices = getattr(task, "next_choices", None)
    if next_choices is not None:
        choices = np.asarray(cast(StepChoices, task).next_choices(puzzle, partial), np.int64).reshape(-1, 2)
        scores = _normalised(log_probs[choices[:, 0], choices[:, 1]])
    else:
        choices, scores = _symbols_of_one_cell(partial, log_probs, task.spec.blank, branching)
    partials = np.repeat(partial[None], len(choices), axis=0)
    partials[np.arange(len(choices)), choices[:, 0]] = choices[:, 1]
    may = task.may_extend(np.broadcast_to(puzzle, partials.shape), partials)
    return Children(choices=choices[may], partials=partials[may], log_probs=scores[may].round(DECIMALS))


def line_deviation(partial: np.ndarray, log_probs: np.ndarray, lines: np.ndarray, first: int) -> float:
    """How far the model's probabilities are from using each symbol once in each line, 0 to n - 1.

    The largest absolute difference from 1 of a symbol's probabilities, summed over a line's cells; a filled
    cell counts with its own symbol. It is large where the choices so far have no completion.
    partial (L,); log_probs (L, V); lines (M, n) cell indices; first: the first interchangeable symbol.
    """
    probabilities = np.exp(log_probs[:, first:].astype(np.float64))  # (L, n)
    filled = partial >= first
    probabilities[filled] = 0.0
    probabilities[filled, partial[filled] - first] = 1.0
    return float(np.abs(probabilities[lines].sum(axis=1) - 1.0).max())


def _symbols_of_one_cell(
    partial: np.ndarray, log_probs: np.ndarray, blank: int | None, branching: Branching
) -> tuple[np.ndarray, np.ndarray]:
    """Every symbol of the blank cell that `branching` picks; none where no cell is blank."""
    blanks = np.flatnonzero(partial == blank)
    if not len(blanks):
        return np.zeros((0, 2), np.int64), np.zeros(0)
    cell = blanks[_merit(log_probs[blanks], branching).round(DECIMALS).argmax()]
    symbols = np.flatnonzero(np.arange(log_probs.shape[1]) != blank)
    choices = np.stack([np.full(len(symbols), cell), symbols], axis=1)
    return choices, log_probs[cell, symbols].astype(np.float64)


def _merit(log_probs: np.ndarray, branching: Branching) -> np.ndarray:
    """(M,) of each cell, the highest is branched; log_probs (M, V)."""
    if branching == "fewest":
        num_candidates = (log_probs >= np.log(MIN_CANDIDATE)).sum(axis=1)
        best = log_probs.max(axis=1)  # of cells with as many candidates, the least certain
        merit: np.ndarray = -np.where(num_candidates < 2, log_probs.shape[1], num_candidates) - 0.5 * np.exp(
            best
        )
        return merit
    two = np.partition(log_probs, -2, axis=1)[:, -2:]
    if branching == "second":
        return two[:, 0]
    return np.exp(two[:, 0]) - np.exp(two[:, 1])


def _normalised(scores: np.ndarray) -> np.ndarray:
    """Logs of probabilities (K,) whose sum becomes 1."""
    scores = scores.astype(np.float64)
    return scores - np.logaddexp.reduce(scores) if len(scores) else scores
