"""A candidate against the weights before the night, on puzzles that were never trained on.

Puzzles that a symmetry of the task takes into each other are an orbit. A model that respects the symmetries
solves all of an orbit or none of it: intervals resample orbits, and sign tests count each orbit once. Of 4x4
sudokus, 512 held-out puzzles have about 70 orbits.
Invariant: answers are judged by the rules of the task; labels serve only the vital signs.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.evaluation.scoring import baselines, mark, sensitivity
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import IGNORED, Examples, Task
from sage.hrm_core.tasks.orbits import orbit_keys
from sage.hrm_core.tasks.split import joined, without_ids
from sage.runtime.report import NAN, LevelExamination, SleepOutcome
from sage.runtime.sleep.judge import (
    CONFIDENCE,
    Verdict,
    chance_of_any_gain,
    chance_of_gain,
    net_of_blocks,
    paired_difference,
)
from sage.runtime.sleep.puzzles.held_out_draw import HeldOutDraw
from sage.runtime.sleep.puzzles.table import Provenance, PuzzleTable

#: With fewer new puzzles, new and old ones are judged together.
MIN_NEW = 16
#: Share of old puzzles that a candidate may lose, and the number of orbits that are lost for a verdict.
MAX_OLD_LOSS, MIN_OLD_LOST = 0.01, 3
#: Puzzles that are computed together.
BATCH = 64
#: A candidate collapsed if more of its answers repeat, or it answers fewer symbols or follows its input less
#: than these shares say.
MAX_REPETITION, MIN_ENTROPY, MIN_SENSITIVITY = 0.5, 0.5, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedLevel:
    """name, task: of the level.  examples: labels IGNORED where no solution is known.  is_new (N,) bool:
    since the night before.  num_asked: how many of the task's held-out puzzles are among them, the last ones.
    draw: of these, None without any.
    """

    name: str
    task: Task
    examples: Examples
    is_new: np.ndarray
    num_asked: int = 0
    draw: HeldOutDraw | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def keys(self) -> np.ndarray:
        """(N,) uint64 of the orbit of each puzzle (tasks.orbits)."""
        return orbit_keys(self.task, self.examples.inputs) if len(self) else np.zeros(0, np.uint64)

    @property
    def orbits(self) -> np.ndarray:
        """(N,) the number of each puzzle's orbit, from 0."""
        _, numbers = np.unique(self.keys, return_inverse=True)
        return np.asarray(numbers, np.int64)

    @classmethod
    def of(
        cls, name: str, task: Task, table: PuzzleTable, slept_at: int, *, draw: HeldOutDraw | None = None
    ) -> ExaminedLevel:
        """A copy of the rows in use, then the first puzzles of the draw, which count as new.

        slept_at: tick of the newest puzzle that the night before has examined, -1 without one.
        """
        rows = slice(table.count)
        is_known = table.columns["provenance"][rows] != Provenance.NONE
        labels = np.where(is_known[:, None], table.solutions[rows], IGNORED)
        level = cls(
            name=name,
            task=task,
            examples=without_ids(table.cells[rows], labels),
            is_new=table.columns["tick"][rows] > slept_at,
            draw=draw,
        )
        return level if draw is None else level.and_asked(draw.of(task, draw.first))

    def and_asked(self, asked: Examples) -> ExaminedLevel:
        """With these held-out puzzles of the task at the end."""
        if not len(asked):
            return self
        return replace(
            self,
            examples=joined([self.examples, without_ids(asked.inputs, asked.labels)]),
            is_new=np.concatenate([self.is_new, np.ones(len(asked), bool)]),
            num_asked=self.num_asked + len(asked),
        )

    def more(self, num: int, trained: np.ndarray) -> Examples:
        """Up to `num` puzzles of the draw that follow those asked; none where it has no more.
        trained (M,) uint64: orbit keys of puzzles that the night has made and trained on, left out here.
        """
        assert self.draw is not None
        found = self.draw.of(self.task, self.num_asked + num).take(slice(self.num_asked, None))
        if len(found) and len(trained):
            found = found.take(np.flatnonzero(~np.isin(orbit_keys(self.task, found.inputs), trained)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one level. cells (N, L) int32.  is_solved (N,) bool: the rules accept it."""

    cells: np.ndarray
    is_solved: np.ndarray

    @property
    def share(self) -> float:
        """Solved, 0..1; 0 without puzzles."""
        return float(self.is_solved.mean()) if len(self.is_solved) else 0.0

    def __add__(self, other: Answers) -> Answers:
        """Those of other puzzles of the same level behind these."""
        return Answers(
            cells=np.concatenate([self.cells, other.cells]),
            is_solved=np.concatenate([self.is_solved, other.is_solved]),
        )


def answers_of(model: HRM, task: Task, examples: Examples) -> Iterator[Answers | None]:
    """The answers at the model's own number of segments; yields None after each batch, then the answers."""
    parts = []
    for start in range(0, len(examples), BATCH):
        rows = examples.take(slice(start, start + BATCH))
        trace = run_segments(model, rows, model.config.halt_max_segments, batch_size=BATCH)
        index, _ = trace.halted()
        parts.append(trace.answers[index, np.arange(len(rows))])
        yield None
    cells = np.concatenate([np.zeros((0, task.spec.seq_len), np.int32), *parts])
    is_solved = np.zeros(0, bool)
    if len(cells):
        is_solved = np.asarray(task.verify(examples.inputs, cells), bool)
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
    levels: Sequence[ExaminedLevel],
    before: Sequence[Answers],
    after: Sequence[Answers],
    seed: int,
    *,
    num_looks: int = 1,
) -> Verdict:
    """Accept if the gain on new puzzles, of all levels together or of one of them, is above 0 by paired
    bootstrap and by a sign test, less than a point of old ones is lost and no level is worse. At least one
    puzzle is examined.

    A gain of one level alone counts where all together gain too: the noise of the others would hide it. The
    sign test is one for all of these (see `chance_of_any_gain`).
    num_looks: how often a night is judged at most, each time on more puzzles. The sign tests' level is
    divided by it (Bonferroni), so that looking again does not raise the share of nights accepted by chance.
    """
    new, orbits = _new_puzzles(levels), [level.orbits for level in levels]
    was, now = (np.concatenate([each.is_solved for each in side]).astype(float) for side in (before, after))
    is_new, orbit = np.concatenate(new), _numbered_apart(orbits)
    rows = _examined(levels, orbits, before, after, seed)
    losses = [
        net_of_blocks(other.is_solved, one.is_solved, at)
        for one, other, at in zip(before, after, orbits)
        if len(at)
    ]
    gain, low, high = paired_difference(was[is_new], now[is_new], seed, orbit[is_new])
    interval = _interval_text(gain, low, high)
    old_was, old_now = _mean(was[~is_new]), _mean(now[~is_new])
    chance = (1 - CONFIDENCE) / 2 / num_looks
    worse = next(
        (row for row, loss in zip(rows, losses) if row.gain_high < 0 and chance_of_gain(*loss) <= chance),
        None,
    )
    is_lost, is_gained = net_of_blocks(was[~is_new], now[~is_new], orbit[~is_new])
    num_lost = int(is_lost.sum()) - int(is_gained.sum())
    better = _better_level(levels, orbits, new, before, after, seed) if gain > 0 else ""
    gains = [
        net_of_blocks(one.is_solved[at], other.is_solved[at], each[at])
        for one, other, each, at in zip(before, after, orbits, new)
    ]
    if old_was - old_now > MAX_OLD_LOSS and num_lost >= MIN_OLD_LOST:
        outcome = SleepOutcome.ROLLED_BACK
        reason = f"worse on old puzzles: {old_was:.1%} solved, then {old_now:.1%}; on new ones {interval}"
    elif worse is not None:
        outcome = SleepOutcome.ROLLED_BACK
        reason = f"worse on {worse.level}: {worse.before:.1%} solved, then {worse.after:.1%}; {interval}"
    elif (low > 0 or better) and chance_of_any_gain(gains, seed) <= chance:
        outcome = SleepOutcome.ACCEPTED
        reason = interval if low > 0 else f"{better}; of all levels {interval}"
    elif high < 0 and chance_of_gain(*net_of_blocks(now[is_new], was[is_new], orbit[is_new])) <= chance:
        outcome, reason = SleepOutcome.ROLLED_BACK, f"worse: {interval}"
    else:
        test = " by a sign test" if low > 0 or high < 0 else ""
        outcome, reason = SleepOutcome.UNDECIDED, f"not significantly different from 0{test}: {interval}"
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


def _new_puzzles(levels: Sequence[ExaminedLevel]) -> list[np.ndarray]:
    """Of each level, which puzzles count as new: all of them where there are few new ones."""
    num = sum(int(level.is_new.sum()) for level in levels)
    return [level.is_new if num >= MIN_NEW else np.ones_like(level.is_new) for level in levels]


def _numbered_apart(orbits: Sequence[np.ndarray]) -> np.ndarray:
    """The orbits of all levels, those of different levels under different numbers."""
    starts = np.cumsum([0, *(int(each.max(initial=-1)) + 1 for each in orbits)])
    return np.concatenate([each + start for each, start in zip(orbits, starts)])


def _better_level(
    levels: Sequence[ExaminedLevel],
    orbits: Sequence[np.ndarray],
    new: Sequence[np.ndarray],
    before: Sequence[Answers],
    after: Sequence[Answers],
    seed: int,
) -> str:
    """The level whose gain on new puzzles is above 0 by the most, with its interval; "" if none has one."""
    found = (0.0, "")
    for level, orbit, at, one, other in zip(levels, orbits, new, before, after):
        if not at.any():
            continue
        solved = [each.is_solved[at].astype(float) for each in (one, other)]
        gain, low, high = paired_difference(solved[0], solved[1], seed, orbit[at])
        if low > found[0]:
            found = (low, f"{level.name}: {_interval_text(gain, low, high)}")
    return found[1]


def _interval_text(gain: float, low: float, high: float) -> str:
    return f"gain {100 * gain:+.1f} points, {CONFIDENCE:.0%} interval {100 * low:+.1f} to {100 * high:+.1f}"


def _examined(
    levels: Sequence[ExaminedLevel],
    orbits: Sequence[np.ndarray],
    before: Sequence[Answers],
    after: Sequence[Answers],
    seed: int,
) -> tuple[LevelExamination, ...]:
    """Shares solved of each level that has puzzles, and the interval of their difference."""
    found = []
    for level, orbit, one, other in zip(levels, orbits, before, after):
        if not len(level):
            continue
        solved = [each.is_solved.astype(float) for each in (one, other)]
        _, low, high = paired_difference(solved[0], solved[1], seed, orbit)
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
