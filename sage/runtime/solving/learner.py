"""The contract between solving in the loop and the trainer of the model that solves.

Experiences go in, weights come out. Invariants: no call blocks the loop for longer than its deadline; a
learner that fails leaves the loop's weights as they are.
Shapes: L cells of one puzzle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch

from sage.runtime.report import SleepReport


class SolutionSource(IntEnum):
    """Where the solution of an experience comes from. VERIFIED: the solver's own answer, which the task's
    rules or the environment accepted.
    """

    NONE = 0
    TEACHER = 1
    VERIFIED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleExperience:
    """One answered puzzle.

    number: in its stream.  level: index in the stream's levels.  cells, answer, solution: (L,) int32;
    solution is None where nothing shows one.  trust: of its source, 0..1.  is_right: accepted by the
    environment.  confidence: of the answer, 0..1.  num_segments, num_calls: spent on it.  time_ns: of the
    result, since the run's start.  episode: of the loop's memory at that time, 0 where unknown.
    """

    number: int
    level: int
    cells: np.ndarray
    answer: np.ndarray
    solution: np.ndarray | None
    source: SolutionSource
    trust: float
    is_right: bool
    confidence: float
    num_segments: int
    num_calls: int
    tick: int
    time_ns: int
    episode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Weights that a learner offers, valid until the next call of `collect`.

    weights: state dict of the solving model; None: those in use stay.  kind: "practice" or "night".
    num_steps: optimizer steps so far.  report: of the night, None for practice.
    """

    weights: Mapping[str, torch.Tensor] | None
    kind: str
    num_steps: int
    loss: float
    report: SleepReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerFacts:
    """Counts since the start. num_lost: experiences that never reached the trainer or its journal.  problem:
    why what it keeps is not written to the disk now, "" when it is, or nothing is kept.
    """

    num_steps: int = 0
    loss: float = math.nan
    num_experiences: int = 0
    num_lost: int = 0
    num_restarts: int = 0
    bytes_copied: int = 0
    is_sleeping: bool = False
    problem: str = ""


class PuzzleLearner(Protocol):
    """Trains a copy of the solving model on what the loop experienced. All calls on the loop's thread."""

    def open(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Start from these weights."""
        ...

    def note(self, experiences: Sequence[PuzzleExperience]) -> None:
        """Add experiences; never waits (what finds no room is counted as lost)."""
        ...

    def work(self, deadline_ns: int) -> None:
        """Between two ticks: what is due on this thread before `deadline_ns`, on the loop's clock."""
        ...

    def collect(self) -> Offer | None:
        """The newest weights on offer, once; None if there are none."""
        ...

    def begin_night(self, tick: int) -> None:
        """Start a night. `collect` returns its result with a report, also when it is rolled back: then
        `weights` are those from before the night, or None where it did not take place.
        """
        ...

    def abort_night(self) -> None:
        """End a night in progress without a result; practice continues from the weights before it."""
        ...

    def pause(self, is_paused: bool) -> None:
        """Whether practice stops, until the next call; experiences are still taken."""
        ...

    def facts(self) -> LearnerFacts: ...

    def close(self, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """End within a few seconds; safe to call twice. `facts` are then those of the end. weights: in use at
        the end, from which a night of what the learner keeps begins.
        """
        ...
