"""Dreams of a body: at the start of a night the copy of the model acts and practises in perturbed copies of
the environments; episodes in unperturbed copies, before and after, decide with the examination of readings.

In the spirit of DreamGen (Jang et al. 2025, arXiv 2505.12705), with a simulator in place of a video model.
Invariant: a dream changes the night's copy alone; nothing of it enters a memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sage.hrm_core.observation.model import ObservationModel
from sage.runtime.report import LevelExamination, SleepOutcome
from sage.runtime.sleep.judge import CONFIDENCE, Verdict, paired_difference

#: Of the loss on held-out readings, by a night that made the return better. Practice on rewards moves weights
#: that predictions use too.
MAX_LOSS_RISE = 0.05
#: The name of the examination in a report.
EPISODES = "episodes that reached their goal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episodes:
    """Of one examination: returns (N,), and whether each reached its goal (N,) bool, or NaN where the
    environment does not state it, (N,) float.
    """

    returns: np.ndarray
    successes: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Dreamt:
    """What a dream was. num_failed: episodes that a fault of the simulator ended; no window crosses it."""

    num_ticks: int
    num_episodes: int
    num_steps: int
    num_failed: int
    cpu_secs: float

    def __str__(self) -> str:
        failed = f", {self.num_failed} failed" if self.num_failed else ""
        return (
            f"{self.num_ticks} dreamed ticks, {self.num_episodes} episodes{failed}, {self.num_steps} steps,"
            f" {self.cpu_secs:.0f} CPU s"
        )


class Dream(Protocol):
    """The environments of one night."""

    def examine(self, model: ObservationModel) -> Episodes:
        """Episodes in unperturbed copies, the same ones at each call, without learning or exploration."""
        ...

    def practise(self, model: ObservationModel) -> Dreamt:
        """Act and practise in perturbed copies; `model` has the new weights afterwards."""
        ...


class Dreamer(Protocol):
    """What the app gives a loop whose nights begin with dreams. num_steps: at most, of practice."""

    num_steps: int

    def prepare(self, directory: Path, seed: int) -> None:
        """Write what the dream of a night needs, between two ticks. OSError where the disk is full."""
        ...

    def open(self, directory: Path) -> Dream:
        """The dream that was prepared there. DataError where it cannot be read."""
        ...


def judge_body(verdict: Verdict, before: Episodes, after: Episodes, dreamt: Dreamt, seed: int) -> Verdict:
    """The verdict on readings, joined with that on episodes.

    A worse return rolls the night back. A better one accepts it, unless the loss on held-out readings, new or
    old, is not finite or, where there are enough of them to judge, rose by more than MAX_LOSS_RISE. Otherwise
    the readings decide.
    """
    gain, low, high = paired_difference(before.returns, after.returns, seed)
    interval = (
        f"mean return {gain:+.2f}, {CONFIDENCE:.0%} interval {low:+.2f} to {high:+.2f}, of"
        f" {len(before.returns)} episodes"
    )
    outcome = verdict.outcome
    if high < 0:
        outcome, reason = SleepOutcome.ROLLED_BACK, f"worse in its environments: {interval}"
    elif low > 0 and not _has_forgotten(verdict):
        outcome, reason = SleepOutcome.ACCEPTED, f"better in its environments: {interval}"
    else:
        reason = f"{verdict.reason}; {interval}"
    return dataclasses.replace(
        verdict, outcome=outcome, reason=f"{reason}; {dreamt}", levels=_levels(before, after, seed)
    )


def _has_forgotten(verdict: Verdict) -> bool:
    """Whether the candidate is not finite, or the readings roll it back and their loss rose too far."""
    if not np.isfinite(verdict.loss_after):
        return True
    pairs = ((verdict.loss_before, verdict.loss_after), (verdict.loss_old_before, verdict.loss_old_after))
    is_worse = any(after > before * (1 + MAX_LOSS_RISE) for before, after in pairs)
    return verdict.outcome is SleepOutcome.ROLLED_BACK and is_worse


def _levels(before: Episodes, after: Episodes, seed: int) -> tuple[LevelExamination, ...]:
    """Shares of episodes that reached their goal; none where the environment does not state it."""
    if not np.isfinite([before.successes, after.successes]).all():
        return ()
    _, low, high = paired_difference(before.successes, after.successes, seed)
    return (
        LevelExamination(
            level=EPISODES,
            num=len(before.successes),
            before=float(before.successes.mean()),
            after=float(after.successes.mean()),
            gain_low=low,
            gain_high=high,
        ),
    )
