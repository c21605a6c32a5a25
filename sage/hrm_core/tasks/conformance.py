"""Conformance kit of searchable tasks: what a search needs of PartialCheck, StepChoices and ChoiceScores.

    case = SearchCase(task=task, examples=task.held_out(8))
    for check in PARTIAL_CHECKS:
        check(case)

Invariant: each check raises CheckFailed with the part of the contract that is broken, or returns None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sage.errors import SageError
from sage.hrm_core.tasks.contract import Examples

#: Subsets of the choices of one solution, or random assignments, that a check tries.
NUM_SUBSETS = 6


class CheckFailed(SageError):
    """The task breaks its contract. The message states which part."""


@dataclass(frozen=True, kw_only=True)
class SearchCase:
    """task: any with `spec`, `verify` and the methods of PartialCheck.  examples: a few with their labels.

    solve: valid answers (N, L) to puzzles (N, L) that `as_inputs` gives. Required for a task of steps. None
    takes the labels of `examples`: enough where a completion of the choices answers the puzzle that remains.
    """

    task: Any
    examples: Examples
    solve: Callable[[np.ndarray], np.ndarray] | None = None
    seed: int = 0

    @property
    def is_of_steps(self) -> bool:
        return hasattr(self.task, "next_choices")

    def completed(self, inputs: np.ndarray, partial: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(N, L) answers to `inputs` by way of the puzzle that remains."""
        answers = labels if self.solve is None else self.solve(self.task.as_inputs(inputs, partial))
        completed: np.ndarray = self.task.complete(inputs, partial, answers)
        return completed

    @cached_property
    def true_partials(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """inputs, partial, labels (M, L): each puzzle without choices, with some true ones, with all."""
        if not self.is_of_steps:
            return self._subsets()
        rows = [
            (puzzle, partial, label)
            for puzzle, label in zip(self.examples.inputs, self.examples.answers())
            for partial in self._prefixes(puzzle)
        ]
        inputs, partials, labels = (np.array(column, np.int32) for column in zip(*rows))
        return inputs, partials, labels

    def _subsets(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Subsets grow in a random order of the blank cells."""
        rng = np.random.default_rng(self.seed)
        inputs = np.repeat(self.examples.inputs, NUM_SUBSETS, axis=0)
        labels = np.repeat(self.examples.answers(), NUM_SUBSETS, axis=0)
        shares = np.tile(np.linspace(0, 1, NUM_SUBSETS), len(self.examples))[:, None]
        order = np.repeat(rng.random(self.examples.inputs.shape), NUM_SUBSETS, axis=0)
        is_chosen = (inputs == self.task.spec.blank) & (order < shares)
        return inputs, np.where(is_chosen, labels, inputs), labels

    def _prefixes(self, puzzle: np.ndarray) -> list[np.ndarray]:
        """From no step to the last, each by a step that a valid answer continues."""
        prefixes = [np.array(puzzle, np.int32)]
        while len(prefixes) <= self.task.spec.seq_len:
            children = _children(self.task, puzzle, prefixes[-1])
            if not len(children):
                return prefixes
            may = self.task.may_extend(np.repeat(puzzle[None], len(children), axis=0), children)
            _need(bool(may.all()), "next_choices: a step that may_extend refuses")
            is_true = self.leads_on(puzzle, children)
            _need(bool(is_true.any()), "next_choices: no step continues a prefix of a valid answer")
            prefixes.append(children[is_true.argmax()])
        raise CheckFailed("next_choices: more steps than the puzzle has cells")

    def leads_on(self, puzzle: np.ndarray, partials: np.ndarray) -> np.ndarray:
        """(K,) bool: does a valid answer begin with these steps?"""
        inputs = np.repeat(puzzle[None], len(partials), axis=0)
        is_true: np.ndarray = self.task.verify(inputs, self.completed(inputs, partials, inputs))
        return is_true


def true_choices_may_extend(case: SearchCase) -> None:
    """may_extend is True of every subset of a solution's choices, and of every prefix of its steps."""
    inputs, partials, _ = case.true_partials
    may = case.task.may_extend(inputs, partials)
    _need(may.shape == (len(inputs),) and may.dtype == bool, "may_extend: give (N,) bool")
    _need(bool(may.all()), "may_extend: False for choices of a valid answer")


def true_choices_complete(case: SearchCase) -> None:
    """An answer to the puzzle that remains after true choices completes them to a valid answer."""
    inputs, partials, labels = case.true_partials
    answers = case.completed(inputs, partials, labels)
    is_valid = case.task.verify(inputs, answers)
    _need(bool(is_valid.all()), "complete: an answer to as_inputs does not become a valid answer")


def the_puzzle_itself_is_unchanged_without_choices(case: SearchCase) -> None:
    """Without choices as_inputs is the puzzle and complete is the answer."""
    inputs, labels = case.examples.inputs, case.examples.answers()
    _need(np.array_equal(case.task.as_inputs(inputs, inputs), inputs), "as_inputs: changed without choices")
    is_valid = case.task.verify(inputs, case.task.complete(inputs, inputs, labels))
    _need(bool(is_valid.all()), "complete: a valid answer changes without choices")


def wrong_choices_are_refused(case: SearchCase) -> None:
    """may_extend is False where a given is changed, or where no symbol of the task is chosen; where every
    cell is chosen it is what verify is.
    """
    task, inputs, labels = case.task, case.examples.inputs, case.examples.answers()
    rows, rng = np.arange(len(inputs)), np.random.default_rng(case.seed)
    symbol = task.spec.vocab_size
    for cells in (inputs, labels):
        strange, cell = np.array(cells), rng.integers(0, inputs.shape[1], size=len(inputs))
        strange[rows, cell] = symbol
        _need(not task.may_extend(inputs, strange).any(), f"may_extend: True of symbol {symbol}")
    if case.is_of_steps:
        return
    given = np.array([rng.choice(np.flatnonzero(row != task.spec.blank)) for row in inputs])
    changed = np.array(inputs)
    changed[rows, given] = np.where(inputs[rows, given] == symbol - 1, symbol - 2, inputs[rows, given] + 1)
    _need(not task.may_extend(inputs, changed).any(), "may_extend: True where a given is changed")
    for whole in _mistaken(case, rng):
        same = np.array_equal(task.may_extend(inputs, whole), task.verify(inputs, whole))
        _need(same, "may_extend: of a full answer it is not what verify is")


def refusal_is_final(case: SearchCase) -> None:
    """Once may_extend is False, it is False however many choices are added. Of tasks with a blank."""
    if case.is_of_steps:
        return
    task, inputs, rng = case.task, case.examples.inputs, np.random.default_rng(case.seed)
    for whole in _mistaken(case, rng):
        order, may = rng.random(inputs.shape), np.ones(len(inputs), bool)
        for share in np.linspace(0, 1, 2 * NUM_SUBSETS):
            partial = np.where((inputs == task.spec.blank) & (order < share), whole, inputs)
            longer = task.may_extend(inputs, partial)
            _need(bool((may | ~longer).all()), "may_extend: True again after more choices")
            may = longer


def batches_equal_rows(case: SearchCase) -> None:
    """Each method gives a row what it gives it alone, as int32, and changes no argument."""
    inputs, partials, labels = case.true_partials
    before = [array.copy() for array in (inputs, partials, labels)]
    task = case.task
    for name, arguments in (
        ("may_extend", (inputs, partials)),
        ("as_inputs", (inputs, partials)),
        ("complete", (inputs, partials, labels)),
    ):
        method = getattr(task, name)
        whole = method(*arguments)
        alone = [method(*(each[row : row + 1] for each in arguments))[0] for row in range(len(inputs))]
        _need(np.array_equal(whole, np.array(alone)), f"{name}: a batch differs from its rows")
        _need(name == "may_extend" or whole.dtype == np.int32, f"{name}: give int32")
    same = all(np.array_equal(now, then) for now, then in zip((inputs, partials, labels), before))
    _need(same, "a method changes its arguments")


def steps_may_extend(case: SearchCase) -> None:
    """next_choices gives (K, 2) int32 without duplicates, each of a partial answer that may extend."""
    if not case.is_of_steps:
        return
    inputs, partials, _ = case.true_partials  # raises where a step may not follow, or none leads on
    for puzzle, partial in zip(inputs, partials):
        steps = case.task.next_choices(puzzle, partial)
        _need(steps.ndim == 2 and steps.shape[1] == 2 and steps.dtype == np.int32, "give (K, 2) int32")
        _need(len(np.unique(steps, axis=0)) == len(steps), "next_choices: a step twice")


def certain_answers_give_true_choices(case: SearchCase) -> None:
    """By the log-probabilities of a model that is certain of an answer to as_inputs, the likeliest choices
    are those of a valid answer.
    """
    inputs, partials, labels = case.true_partials
    answers = labels if case.solve is None else case.solve(case.task.as_inputs(inputs, partials))
    scores = _scores(case.task, inputs, partials, answers)
    if case.is_of_steps:
        for puzzle, partial, score in zip(inputs, partials, scores):
            steps = case.task.next_choices(puzzle, partial)
            if len(steps):
                best = steps[score[steps[:, 0], steps[:, 1]].argmax()]
                child = np.array(partial)
                child[best[0]] = best[1]
                _need(bool(case.leads_on(puzzle, child[None])[0]), "the likeliest step is not a true one")
        return
    chosen = np.where(partials == case.task.spec.blank, scores.argmax(axis=2), partials).astype(np.int32)
    is_valid = case.task.verify(inputs, chosen)
    _need(bool(is_valid.all()), "the likeliest choices are no valid answer: give choice_log_probs")


PARTIAL_CHECKS: tuple[Callable[[SearchCase], None], ...] = (
    true_choices_may_extend,
    true_choices_complete,
    the_puzzle_itself_is_unchanged_without_choices,
    wrong_choices_are_refused,
    refusal_is_final,
    batches_equal_rows,
    steps_may_extend,
    certain_answers_give_true_choices,
)


def _need(is_right: bool, message: str) -> None:
    if not is_right:
        raise CheckFailed(message)


def _children(task: Any, puzzle: np.ndarray, partial: np.ndarray) -> np.ndarray:
    """(K, L) partial with each of its next steps."""
    steps = task.next_choices(puzzle, partial)
    children = np.repeat(partial[None], len(steps), axis=0)
    children[np.arange(len(steps)), steps[:, 0]] = steps[:, 1]
    return children


def _mistaken(case: SearchCase, rng: np.random.Generator) -> list[np.ndarray]:
    """Labels, and labels with one or several blank cells changed to another symbol of the labels."""
    inputs, labels = case.examples.inputs, case.examples.answers()
    is_blank = inputs == case.task.spec.blank
    symbols, found = np.unique(labels[is_blank]), [labels]
    for number in range(1, NUM_SUBSETS):
        whole = np.array(labels)
        for row, blanks in zip(whole, is_blank):
            cells = rng.choice(np.flatnonzero(blanks), size=min(number, int(blanks.sum())), replace=False)
            row[cells] = rng.choice(symbols, size=len(cells))
        found.append(whole)
    return found


def _scores(task: Any, inputs: np.ndarray, partials: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(N, L, V) of choices, for a model with all but a millionth of its probability on `answers`."""
    log_probs = np.full((*answers.shape, task.spec.vocab_size), np.log(1e-6))
    np.put_along_axis(log_probs, answers[:, :, None].astype(np.int64), 0.0, axis=2)
    renamed = getattr(task, "choice_log_probs", None)
    scores: np.ndarray = log_probs if renamed is None else renamed(inputs, partials, log_probs)
    return scores
