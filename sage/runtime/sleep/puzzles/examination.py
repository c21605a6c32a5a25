"""A candidate against the weights before the night, on puzzles that were never trained on.

Invariant: answers are judged by the rules of the task; labels serve only the vital signs.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.evaluation.scoring import baselines, mark, sensitivity
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task
from sage.hrm_core.tasks.split import joined, without_ids
from sage.runtime.report import NAN, LevelExamination, SleepOutcome
from sage.runtime.sleep.judge import CONFIDENCE, Verdict, paired_difference
from sage.runtime.sleep.puzzles.table import Provenance, PuzzleTable

#: With fewer new puzzles, new and old ones are judged together.
MIN_NEW = 16
#: Share of old puzzles that a candidate may lose.
MAX_OLD_LOSS = 0.01
#: Puzzles that are computed together.
BATCH = 64
#: A candidate collapsed if more of its answers repeat, or it answers fewer symbols or follows its input less
#: than these shares say.
MAX_REPETITION, MIN_ENTROPY, MIN_SENSITIVITY = 0.5, 0.5, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedLevel:
    """name, task: of the level.  examples: labels IGNORED where no solution is known.  is_new (N,) bool:
    since the night before.
    """

    name: str
    task: Task
    examples: Examples
    is_new: np.ndarray

    def __len__(self) -> int:
        return len(self.examples)

    @classmethod
    def of(
        cls, name: str, task: Task, table: PuzzleTable, slept_at: int, *, num_asked: int = 0
    ) -> ExaminedLevel:
        """A copy of the rows in use, then `num_asked` held-out puzzles of the task, which count as new.

        slept_at: tick of the night before, -1 without one.
        """
        rows = slice(table.count)
        is_known = table.columns["provenance"][rows] != Provenance.NONE
        labels = np.where(is_known[:, None], table.solutions[rows], IGNORED)
        examples = without_ids(table.cells[rows], labels)
        is_new = table.columns["tick"][rows] > slept_at
        if num_asked:
            asked = task.held_out(num_asked)
            examples = joined([examples, without_ids(asked.inputs, asked.labels)])
            is_new = np.concatenate([is_new, np.ones(len(asked), bool)])
        return cls(name=name, task=task, examples=examples, is_new=is_new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one level. cells (N, L) int32.  is_solved (N,) bool: the rules accept it."""

    cells: np.ndarray
    is_solved: np.ndarray

    @property
    def share(self) -> float:
        """Solved, 0..1; 0 without puzzles."""
        return float(self.is_solved.mean()) if len(self.is_solved) else 0.0


def answers_of(model: HRM, level: ExaminedLevel) -> Iterator[Answers | None]:
    """The answers at the model's own number of segments; yields None after each batch, then the answers."""
    parts = []
    for start in range(0, len(level), BATCH):
        rows = level.examples.take(slice(start, start + BATCH))
        trace = run_segments(model, rows, model.config.halt_max_segments, batch_size=BATCH)
        index, _ = trace.halted()
        parts.append(trace.answers[index, np.arange(len(rows))])
        yield None
    cells = np.concatenate([np.zeros((0, level.task.spec.seq_len), np.int32), *parts])
    is_solved = np.zeros(0, bool)
    if len(cells):
        is_solved = np.asarray(level.task.verify(level.examples.inputs, cells), bool)
    yield Answers(cells=cells, is_solved=is_solved)


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalSigns:
    """Of the answers to one level. entropy: of their symbols in open cells, nats.  sensitivity: see
    `evaluation.scoring`.  repetition: share of different puzzles whose answer another one has too.
    right_cells: share of open cells; baseline: that of the best trivial answer. NaN where undefined.
    """

    entropy: float
    sensitivity: float
    repetition: float
    right_cells: float
    baseline: float


def vital_signs(level: ExaminedLevel, answers: Answers) -> VitalSigns:
    inputs, cells = level.examples.inputs, answers.cells
    blank = level.task.spec.blank
    is_open = np.ones_like(inputs, bool) if blank is None else inputs == blank
    counts = np.bincount(cells[is_open])
    shares = counts[counts > 0] / max(1, counts.sum())
    different = np.unique(inputs, axis=0)
    repeated = 1.0 - len(np.unique(cells, axis=0)) / max(1, len(different))
    known = np.flatnonzero((level.examples.labels != IGNORED).any(axis=1))
    rows = level.examples.take(known)
    has_rows = len(rows) > 1
    return VitalSigns(
        entropy=float(-(shares * np.log(shares)).sum()),
        sensitivity=sensitivity(rows, cells[known]) if has_rows else NAN,
        repetition=max(0.0, repeated),
        right_cells=mark(level.task, rows, cells[known]).unknown_cell if has_rows else NAN,
        baseline=(max(each.unknown_cell for each in baselines(level.task, rows, rows)) if has_rows else NAN),
    )


def why_collapsed(before: VitalSigns, after: VitalSigns) -> str:
    """What of the candidate has collapsed, compared with the weights before; "" if nothing has.

    Answers of a model that had learned nothing are no worse for being poor.
    """
    if after.repetition > MAX_REPETITION and after.repetition > before.repetition + 0.25:
        return f"{after.repetition:.0%} of different puzzles get the same answer"
    if after.entropy < MIN_ENTROPY * before.entropy:
        return f"the entropy of its symbols fell from {before.entropy:.2f} to {after.entropy:.2f} nats"
    if after.sensitivity < MIN_SENSITIVITY * before.sensitivity:
        return f"its answers follow the input {after.sensitivity:.2f}, before {before.sensitivity:.2f}"
    if after.right_cells < after.baseline and before.right_cells >= before.baseline:
        return f"{after.right_cells:.0%} of open cells are right, the trivial answer has {after.baseline:.0%}"
    return ""


def judge(
    levels: Sequence[ExaminedLevel], before: Sequence[Answers], after: Sequence[Answers], seed: int
) -> Verdict:
    """Accept if the gain on new puzzles is above 0 by paired bootstrap and less than a point of old ones is
    lost. At least one puzzle is examined.
    """
    was, now = (np.concatenate([each.is_solved for each in side]).astype(float) for side in (before, after))
    is_new = np.concatenate([level.is_new for level in levels])
    if is_new.sum() < MIN_NEW:
        is_new = np.ones_like(is_new)
    rows = examine_levels(levels, before, after, seed)
    gain, low, high = paired_difference(was[is_new], now[is_new], seed)
    interval = (
        f"gain {100 * gain:+.1f} points, {CONFIDENCE:.0%} interval {100 * low:+.1f} to {100 * high:+.1f}"
    )
    old_was, old_now = _mean(was[~is_new]), _mean(now[~is_new])
    worse = next((row for row in rows if row.gain_high < 0), None)
    if old_was - old_now > MAX_OLD_LOSS:
        outcome = SleepOutcome.ROLLED_BACK
        reason = f"worse on old puzzles: {old_was:.1%} solved, then {old_now:.1%}; on new ones {interval}"
    elif worse is not None:
        outcome = SleepOutcome.ROLLED_BACK
        reason = f"worse on {worse.level}: {worse.before:.1%} solved, then {worse.after:.1%}; {interval}"
    elif low > 0:
        outcome, reason = SleepOutcome.ACCEPTED, interval
    elif high < 0:
        outcome, reason = SleepOutcome.ROLLED_BACK, f"worse: {interval}"
    else:
        outcome, reason = SleepOutcome.UNDECIDED, f"not significantly different from 0: {interval}"
    return Verdict(
        outcome=outcome,
        reason=reason,
        loss_before=1 - _mean(was[is_new]),
        loss_after=1 - _mean(now[is_new]),
        gain=gain,
        gain_low=low,
        gain_high=high,
        loss_old_before=1 - old_was,
        loss_old_after=1 - old_now,
        levels=rows,
    )


def examine_levels(
    levels: Sequence[ExaminedLevel], before: Sequence[Answers], after: Sequence[Answers], seed: int
) -> tuple[LevelExamination, ...]:
    """Shares solved of each level that has puzzles, and the interval of their difference."""
    found = []
    for level, one, other in zip(levels, before, after):
        if not len(level):
            continue
        _, low, high = paired_difference(one.is_solved.astype(float), other.is_solved.astype(float), seed)
        found.append(
            LevelExamination(
                level=level.name,
                num=len(level),
                before=_mean(one.is_solved),
                after=_mean(other.is_solved),
                gain_low=low,
                gain_high=high,
            )
        )
    return tuple(found)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
