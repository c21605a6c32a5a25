"""Weights on offer: checked on held-out puzzles, a segment at a time between ticks, then taken or refused.

A score is the share of a puzzle's open cells that the answer has right. The candidate is refused when its
mean score is below that of the weights in use by more than the noise: two standard errors of the paired
differences, and at least NOISE. Invariant: weights that are not finite, or of other models, are refused
before they compute anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sage.errors import InputError
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import IGNORED, Examples
from sage.hrm_core.tasks.first_calls import compile_loops
from sage.runtime.config import SolvingConfig
from sage.runtime.solving.learner import Offer
from sage.runtime.solving.stream import StreamLevel

#: Segments of a checked puzzle at most: a check has to end within a few ticks.
MAX_SEGMENTS = 4
NOISE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """reason: why the weights are refused, "" when they are taken.  kind: of the offer."""

    reason: str
    kind: str


class _Scoring:
    """Scores of one family on the held-out puzzles of some levels, a segment at a time."""

    def __init__(self, family: ModelFamily, rows: Sequence[tuple[int, Examples]]) -> None:
        self._family = family
        self._rest = list(rows)
        self._engine: Engine | None = None
        self._scores: list[float] = []
        self._begin_level()

    @property
    def is_over(self) -> bool:
        return self._engine is None

    @property
    def scores(self) -> np.ndarray:
        return np.array(self._scores)

    def step(self) -> None:
        """One segment of the rows of one level."""
        assert self._engine is not None
        self._engine.step()
        if self._engine.is_idle:
            self._scores += [
                _score(job.solution().cells, inputs, labels)
                for job, inputs, labels in zip(self._jobs, self._examples.inputs, self._examples.answers())
            ]
            self._begin_level()

    def _begin_level(self) -> None:
        self._engine = None
        if not self._rest:
            return
        level, self._examples = self._rest.pop(0)
        model = self._family[level]
        self._engine = Engine(model, batch_size=len(self._examples))
        settings = SolveSettings(max_segments=min(MAX_SEGMENTS, model.config.halt_max_segments))
        self._jobs = [self._engine.submit(cells, settings) for cells in self._examples.inputs]


class WeightsCheck:
    """One offer at a time: `begin`, then `step` until it returns a verdict; `candidate` then holds the
    weights.
    """

    def __init__(self, family: ModelFamily, levels: Sequence[StreamLevel], config: SolvingConfig) -> None:
        self.candidate = family.copy(next(family.parameters()).device).eval()
        self._family = family
        self._levels = levels
        self._num = config.num_checked
        self._held_out: dict[int, Examples] = {}
        self._is_prepared = False
        self._kind: str | None = None
        self._refused = ""
        self._before: _Scoring | None = None
        self._after: _Scoring | None = None

    def prepare(self) -> None:
        """Draw the held-out puzzles, once, and compile what a tick computes with: generators, the rules and
        the search of the tasks, the models. It may take seconds, at first use.
        """
        if self._is_prepared:
            return
        self._is_prepared = True
        drawn = {index: level.examples(self._num) for index, level in enumerate(self._levels)}
        for index, examples in drawn.items():
            if examples is not None and len(examples):
                compile_loops(self._levels[index].task, examples)
            self._family[index].compile_loops()
        self._held_out = {
            index: _with_answers(examples) for index, examples in drawn.items() if examples is not None
        }

    @property
    def is_busy(self) -> bool:
        return self._kind is not None

    def begin(self, offer: Offer, levels: Sequence[int]) -> None:
        """levels: those that were posed so far. The offer's tensors are not used after this call."""
        assert offer.weights is not None
        self._kind = offer.kind
        self._refused = ""
        self._before = self._after = None
        if not all(bool(torch.isfinite(tensor).all()) for tensor in offer.weights.values()):  # sync
            self._refused = "not finite"
            return
        try:
            self.candidate.load_weights(offer.weights)
        except InputError as error:
            self._refused = str(error)
            return
        rows = [(level, self._held_out[level]) for level in levels if level in self._held_out]
        rows = [(level, examples) for level, examples in rows if len(examples)]
        self._before, self._after = _Scoring(self._family, rows), _Scoring(self.candidate, rows)

    def work(self, has_time: Callable[[], bool]) -> Verdict | None:
        """Compute segments while there is time, at least one; the verdict when it is complete."""
        assert self._kind is not None
        if not self._refused:
            assert self._before is not None
            assert self._after is not None
            is_first = True
            while not (self._before.is_over and self._after.is_over):
                if not is_first and not has_time():
                    return None
                (self._after if self._before.is_over else self._before).step()
                is_first = False
            self._refused = _why_refused(self._before.scores, self._after.scores)
        kind, self._kind = self._kind, None
        return Verdict(reason=self._refused, kind=kind)


def _with_answers(examples: Examples) -> Examples:
    """Those whose labels show an answer for every cell that is open."""
    return examples.take(((examples.labels != IGNORED) & (examples.labels != examples.inputs)).any(axis=1))


def _score(answer: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> float:
    is_open = labels != inputs
    return float((answer == labels)[is_open].mean())


def _why_refused(before: np.ndarray, after: np.ndarray) -> str:
    """ "" for weights that are not worse than the noise allows."""
    if len(before) < 2:
        return ""
    differences = after - before
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    if differences.mean() >= -max(2 * error, NOISE):
        return ""
    return (
        f"{100 * after.mean():.0f}% of the open cells of {len(after)} held-out puzzles are right,"
        f" {100 * before.mean():.0f}% with the weights in use"
    )
