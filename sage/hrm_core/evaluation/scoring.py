"""Answers against labels and rules: accuracies, baselines, sensitivity, calibration, in numpy alone.

Invariant: nothing here knows a model; a trivial answer is scored by the very code that scores a trained one.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.hrm_core.evaluation.report import BaselineScore, Calibration, CalibrationBin
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task

NUM_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """is_exact, is_valid (N,) bool; cell, unknown_cell: mean shares."""

    is_exact: np.ndarray
    is_valid: np.ndarray
    cell: float
    unknown_cell: float

    @property
    def exact(self) -> float:
        return _mean(self.is_exact)

    @property
    def valid(self) -> float:
        return _mean(self.is_valid)


def mark(task: Task, examples: Examples, answers: np.ndarray) -> Marks:
    """Judge answers (N, L) by the labels and by the task's own rules."""
    is_scored = examples.labels != IGNORED
    is_right = (answers == examples.labels) & is_scored
    is_unknown = unknown_cells(examples)
    num_scored = is_scored.sum(1)
    has_labels = num_scored > 0
    return Marks(
        is_exact=(is_right.sum(1) == num_scored) & has_labels,
        is_valid=np.asarray(task.verify(examples.inputs, completed(examples, answers)), dtype=bool),
        cell=_mean(is_right.sum(1)[has_labels] / num_scored[has_labels]),
        unknown_cell=_mean(is_right[is_unknown]),
    )


def unknown_cells(examples: Examples) -> np.ndarray:
    """(N, L) bool: scored cells whose label is not simply what the input shows."""
    scored = examples.labels != IGNORED
    unknown: np.ndarray = scored & (examples.labels != examples.inputs)
    return unknown


def completed(examples: Examples, answers: np.ndarray) -> np.ndarray:
    """Answers as the rules judge them: cells that no label scores hold what the input shows."""
    whole: np.ndarray = np.where(examples.labels == IGNORED, examples.inputs, answers).astype(np.int32)
    return whole


def baselines(task: Task, examples: Examples, seen: Examples) -> tuple[BaselineScore, ...]:
    """Copy the input; answer each shown symbol with the commonest label below it in `seen` (training)
    examples; and the task's own, where it has one."""
    trivial = {
        "copy the input": examples.inputs,
        "commonest label": _commonest(seen, task.spec.vocab_size)[examples.inputs],
    }
    own = getattr(task, "baseline", None)
    if own is not None:
        told = own(examples.inputs)
        trivial[told.name] = told.answers
    return tuple(_baseline(name, mark(task, examples, answers)) for name, answers in trivial.items())


def _commonest(seen: Examples, vocab_size: int) -> np.ndarray:
    """(V,) the commonest label of cells that show a symbol; the symbol itself where no scored cell shows
    it.
    """
    is_scored = seen.labels != IGNORED
    counts = np.zeros((vocab_size, vocab_size), dtype=np.int64)
    np.add.at(counts, (seen.inputs[is_scored], seen.labels[is_scored]), 1)
    answers: np.ndarray = np.where(counts.any(1), counts.argmax(1), np.arange(vocab_size)).astype(np.int32)
    return answers


def grade(task: Task, examples: Examples, answers: np.ndarray) -> dict[str, float]:
    """Means of the task's own partial scores; none where it has none."""
    scores = getattr(task, "scores", None)
    return (
        {} if scores is None else {name: _mean(values) for name, values in scores(examples, answers).items()}
    )


def sensitivity(examples: Examples, answers: np.ndarray) -> float:
    """Between neighbours, on cells unknown in both: how often answers differ, against how often labels do."""
    if len(examples) < 2:
        return float("nan")
    is_unknown = unknown_cells(examples)
    both = is_unknown & np.roll(is_unknown, 1, axis=0)
    labels_differ = (examples.labels != np.roll(examples.labels, 1, axis=0)) & both
    answers_differ = (answers != np.roll(answers, 1, axis=0)) & both
    return float(answers_differ.sum() / labels_differ.sum()) if labels_differ.any() else float("nan")


def calibrate(confidence: np.ndarray, is_exact: np.ndarray) -> Calibration:
    """Of probabilities (N,) against outcomes (N,)."""
    index = np.clip((confidence * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    bins = []
    for number in range(NUM_BINS):
        inside = index == number
        if inside.any():
            bins.append(
                CalibrationBin(
                    low=number / NUM_BINS,
                    high=(number + 1) / NUM_BINS,
                    num=int(inside.sum()),
                    confidence=_mean(confidence[inside]),
                    exact=_mean(is_exact[inside]),
                )
            )
    ece = sum(each.num * abs(each.confidence - each.exact) for each in bins) / max(1, len(confidence))
    return Calibration(ece=float(ece), bins=tuple(bins))


def _baseline(name: str, marks: Marks) -> BaselineScore:
    return BaselineScore(
        name=name, exact=marks.exact, cell=marks.cell, unknown_cell=marks.unknown_cell, valid=marks.valid
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
