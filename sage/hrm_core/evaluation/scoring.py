"""Score answers by labels and rules: accuracies, baselines, sensitivity, calibration. Uses numpy only.

Invariant: baselines and models are scored by the same functions. Arrays are read in parts of PART puzzles, so
that scoring takes little memory beside them.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.evaluation.report import BaselineScore, Calibration, CalibrationBin
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task

NUM_BINS = 10
PART = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """is_exact, is_valid, has_labels (N,) bool; cell, unknown_cell: mean shares, 0..1.

    has_labels: puzzles with at least one scored cell; `exact` counts no other, as published (HRM,
    models/losses.py, valid_metrics).
    """

    is_exact: np.ndarray
    is_valid: np.ndarray
    has_labels: np.ndarray
    cell: float
    unknown_cell: float

    @property
    def exact(self) -> float:
        return _mean(self.is_exact[self.has_labels])

    @property
    def valid(self) -> float:
        return _mean(self.is_valid)


def mark(task: Task, examples: Examples, answers: np.ndarray) -> Marks:
    """Score answers (N, L) by the labels and by the rules of the task."""
    num_scored, num_right = np.zeros(len(examples), np.int64), np.zeros(len(examples), np.int64)
    is_valid = np.zeros(len(examples), bool)
    num_unknown = num_unknown_right = 0
    for rows in _parts(len(examples)):
        part, given = examples.take(rows), answers[rows]
        is_scored = part.labels != IGNORED
        is_right = (given == part.labels) & is_scored
        is_unknown = unknown_cells(part)
        num_scored[rows], num_right[rows] = is_scored.sum(1), is_right.sum(1)
        num_unknown += int(is_unknown.sum())
        num_unknown_right += int(is_right[is_unknown].sum())
        is_valid[rows] = np.asarray(task.verify(part.inputs, completed(part, given)), dtype=bool)
    has_labels = num_scored > 0
    return Marks(
        is_exact=(num_right == num_scored) & has_labels,
        is_valid=is_valid,
        has_labels=has_labels,
        cell=_mean(num_right[has_labels] / num_scored[has_labels]),
        unknown_cell=num_unknown_right / num_unknown if num_unknown else float("nan"),
    )


def _parts(num: int) -> Iterator[slice]:
    return (slice(start, start + PART) for start in range(0, num, PART))


def unknown_cells(examples: Examples) -> np.ndarray:
    """(N, L) bool: scored cells whose label differs from the input."""
    scored = examples.labels != IGNORED
    unknown: np.ndarray = scored & (examples.labels != examples.inputs)
    return unknown


def completed(examples: Examples, answers: np.ndarray) -> np.ndarray:
    """Answers for `Task.verify`: cells without a label are copied from the input."""
    whole: np.ndarray = np.where(examples.labels == IGNORED, examples.inputs, answers).astype(np.int32)
    return whole


def baselines(task: Task, examples: Examples, seen: Examples) -> tuple[BaselineScore, ...]:
    """Scores of trivial answers: the input itself; for each symbol its most frequent label in `seen`
    (training examples); and the task's own baseline, where it has one.
    """
    trivial = {
        "copy the input": examples.inputs,
        "commonest label": _narrow(_commonest(seen, task.spec.vocab_size))[examples.inputs],
    }
    own = getattr(task, "baseline", None)
    if own is not None:
        baseline = own(examples.inputs)
        trivial[baseline.name] = baseline.answers
    return tuple(_baseline(name, mark(task, examples, answers)) for name, answers in trivial.items())


def _commonest(seen: Examples, vocab_size: int) -> np.ndarray:
    """(V,) the most frequent label of the cells with each symbol; the symbol itself where none is scored."""
    is_scored = seen.labels != IGNORED
    counts = np.zeros((vocab_size, vocab_size), dtype=np.int64)
    np.add.at(counts, (seen.inputs[is_scored], seen.labels[is_scored]), 1)
    answers: np.ndarray = np.where(counts.any(1), counts.argmax(1), np.arange(vocab_size)).astype(np.int32)
    return answers


def _narrow(symbols: np.ndarray) -> np.ndarray:
    """Symbols, 0 or more, as uint8 where they fit."""
    return symbols.astype(np.uint8) if symbols.max(initial=0) < 256 else symbols


def q_accuracy(q_halt: np.ndarray, marks: Marks) -> float:
    """Share of puzzles with labels for which (q_halt >= 0) == exact; q_halt (N,) logits."""
    return _mean(((q_halt >= 0) == marks.is_exact)[marks.has_labels])


def grade(task: Task, examples: Examples, answers: np.ndarray) -> dict[str, float]:
    """Means of the task's own partial scores; empty where it has none."""
    scores = getattr(task, "scores", None)
    if scores is None:
        return {}
    parts = [
        scores(examples.take(rows), np.asarray(answers[rows], np.int32)) for rows in _parts(len(examples))
    ]
    return {name: _mean(np.concatenate([part[name] for part in parts])) for name in parts[0]}


def sensitivity(examples: Examples, answers: np.ndarray) -> float:
    """Share of differing answers over share of differing labels, between neighbouring puzzles, on cells
    unknown in both. 0 for a constant answer, about 1 for the labels.
    """
    if len(examples) < 2:
        return float("nan")
    num_labels = num_answers = 0
    for rows in _parts(len(examples)):
        before = np.arange(len(examples))[rows] - 1  # the first one's neighbour is the last
        part, neighbour = examples.take(rows), examples.take(before)
        both = unknown_cells(part) & unknown_cells(neighbour)
        num_labels += int(((part.labels != neighbour.labels) & both).sum())
        num_answers += int(((answers[rows] != answers[before]) & both).sum())
    return num_answers / num_labels if num_labels else float("nan")


def calibrate(confidence: np.ndarray, is_exact: np.ndarray) -> Calibration:
    """Expected calibration error of probabilities (N,) for outcomes (N,) bool. NaN counts as 0: a model that
    has diverged.
    """
    confidence = np.nan_to_num(confidence)
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
