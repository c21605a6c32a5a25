"""The learner of a solving model on the loop's own thread: counted steps, so that a run can be repeated.

Invariant: what is done between two ticks does not depend on the clock; equal experiences and seeds give equal
weights on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import LearnerFacts, Offer, PuzzleExperience


class InlineLearner:
    """PuzzleLearner. names, tasks, configs: of each level, in the order of the stream."""

    def __init__(
        self,
        stream: str,
        names: Sequence[str],
        tasks: Sequence[Task],
        configs: Sequence[ModelConfig],
        config: SolverTrainingConfig,
        *,
        seed: int = 0,
    ) -> None:
        self._config = config
        self.trainer = PuzzleTrainer(stream, names, tasks, configs, config, seed=seed)
        self._num_steps_offered = 0
        self._offer: Offer | None = None
        self._is_paused = False
        self._num_calls = 0

    def open(self, weights: Mapping[str, Tensor]) -> None:
        self.trainer.load(weights)

    def note(self, experiences: Sequence[PuzzleExperience]) -> None:
        for experience in experiences:
            self.trainer.memory.note(experience)

    def work(self, deadline_ns: int) -> None:
        """`inline_steps` optimizer steps, or as many slices of a night in progress, whatever the deadline; in
        one call of `inline_every`.
        """
        self._num_calls += 1
        if self._num_calls % self._config.inline_every:
            return
        for _ in range(self._config.inline_steps):
            if self.trainer.is_sleeping:
                self._offer = self.trainer.advance_night() or self._offer
            elif not self._is_paused and self.trainer.practise():
                is_due = self.trainer.num_steps - self._num_steps_offered >= self._config.offer_steps
                if is_due and (self._offer is None or self._offer.kind == "practice"):
                    self._num_steps_offered = self.trainer.num_steps
                    self._offer = self.trainer.offer()

    def collect(self) -> Offer | None:
        offer, self._offer = self._offer, None
        return offer

    def begin_night(self, tick: int) -> None:
        self._offer = None
        self.trainer.begin_night(tick)

    def abort_night(self) -> None:
        self.trainer.abort_night()

    def pause(self, is_paused: bool) -> None:
        self._is_paused = is_paused

    def facts(self) -> LearnerFacts:
        trainer = self.trainer
        return LearnerFacts(
            num_steps=trainer.num_steps,
            loss=trainer.loss,
            num_experiences=trainer.memory.num_noted,
            is_sleeping=trainer.is_sleeping,
        )

    def close(self, weights: Mapping[str, Tensor] | None = None) -> None:
        self.trainer.abort_night()
