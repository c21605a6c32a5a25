"""Practice: endless small steps on the newest and the replayed puzzles, the levels in turn by their errors.

Invariant: the same experiences, seed and number of steps give the same weights on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import TokenBatch
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.family_trainer import FamilyTrainer, train_config
from sage.runtime.sleep.puzzles.memory import PuzzleMemory
from sage.runtime.sleep.puzzles.pool import RecentRows

#: Of the schedule, which is constant: any number will do.
_MANY_STEPS = 1_000_000
#: Share of steps that a level without errors keeps, against one where everything is wrong.
LEAST_NEED = 0.1
#: Share of wrong answers at which the learning rate is whole.
WHOLE_AT = 0.2
#: Steps that the average spans at most, unless ema_decay spans more.
LONGEST_SPAN = 1000.0
#: How fast a level's share of solved rows follows the newest finished ones.
SOLVED_RATE = 0.05


class PuzzlePractice:
    """A copy of the solving model that learns while the loop is awake.

    loss: of the last step, NaN before the first.  num_steps: since the start, over all weights loaded.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        configs: Sequence[ModelConfig],
        memory: PuzzleMemory,
        config: SolverTrainingConfig,
        *,
        seed: int = 0,
    ) -> None:
        self._tasks = tuple(tasks)
        self._memory = memory
        self._config = config
        self._seed = seed
        self._rng = np.random.default_rng((seed, 11))
        self._family = ModelFamily(configs)
        self._num_earlier = 0
        self._solved = np.zeros(len(self._tasks))
        self.loss = math.nan
        self._num_levels = self._began = 0
        self._trainer = self._fresh_trainer()

    @property
    def num_steps(self) -> int:
        return self._num_earlier + self._trainer.num_steps

    @property
    def rate(self) -> float:
        """The factor on the learning rate: 1 while one answer in five is wrong at a level that is practised;
        it falls with the largest share of wrong answers, down to `least_rate`. A new level makes it 1 again.

        The optimizer's updates are of one size whatever the gradient, so that a constant rate would go on
        moving weights that answer everything right, towards the few puzzles that are remembered.
        """
        is_practised = self._is_practised()
        errors = float(self._memory.wrong[is_practised].max()) if is_practised.any() else 1.0
        return min(1.0, max(self._config.least_rate, errors / WHOLE_AT))

    @property
    def family(self) -> ModelFamily:
        return self._family

    def load(self, weights: Mapping[str, Tensor], *, num_steps: int | None = None) -> None:
        """Continue from these weights, with a fresh optimizer. num_steps: so far, by default unchanged.

        InputError where they do not fit.
        """
        self._num_earlier = self.num_steps if num_steps is None else num_steps
        self._family.load_weights(weights)
        self._num_levels = self._began = 0
        self._trainer = self._fresh_trainer()

    def weights(self) -> dict[str, Tensor]:
        """Copies of the averaged weights."""
        return self._trainer.averaged_weights()

    def step(self) -> bool:
        """One optimizer step; False where there are too few puzzles to learn from, or practice is off."""
        level = self._choose_level() if self._config.practises else None
        if level is None:
            return False
        self._trainer.average_over(self._span())
        facts = self._trainer.step(level, self._sources[level], rate=self.rate)
        self.loss = facts.figures["lm_loss"]
        solved = facts.figures["exact_accuracy"]
        if facts.num_finished and math.isfinite(solved):
            self._solved[level] += SOLVED_RATE * (solved - self._solved[level])
        return True

    def compile_loops(self) -> None:
        """Those of a training step, by one pass forward and backward of each model, which changes nothing."""
        for index in range(len(self._tasks)):
            model = self._family[index]
            cells = torch.ones(1, self._tasks[index].spec.seq_len, dtype=torch.int32)
            batch = TokenBatch(inputs=cells, labels=cells, puzzle_ids=torch.full((1,), -1))
            _, output = model.segment(model.initial_carry(1), batch)
            assert output.logits is not None
            output.logits.sum().backward()
            model.zero_grad()

    def _choose_level(self) -> int | None:
        needs = np.where(self._is_practised(), 1.0 - self._solved + LEAST_NEED, 0.0)
        if not needs.any():
            return None
        return int(self._rng.choice(len(needs), p=needs / needs.sum()))

    def _span(self) -> float:
        """Of the average, in steps: `ema_share` of those since practice of the newest level began, within the
        span of `ema_decay` and LONGEST_SPAN. At a rate that stays, weights that solve nearly everything move
        about; their mean does not (Polyak and Juditsky 1992).
        """
        num_levels = int(self._is_practised().sum())
        if num_levels > self._num_levels:
            self._num_levels, self._began = num_levels, self._trainer.num_steps
        shortest = 1.0 / (1.0 - self._config.ema_decay)
        steps = self._config.ema_share * (self._trainer.num_steps - self._began)
        return max(shortest, min(steps, LONGEST_SPAN))

    def _is_practised(self) -> np.ndarray:
        """(levels,) bool: whether there are enough puzzles."""
        counts = np.array([level.recent.count for level in self._memory.levels])
        is_practised: np.ndarray = counts >= self._config.min_puzzles
        return is_practised

    def _fresh_trainer(self) -> FamilyTrainer:
        config = self._config
        self._sources = [
            RecentRows(level.recent, level.replayed, task, self._rng, moves=config.symmetries)
            for level, task in zip(self._memory.levels, self._tasks)
        ]
        return FamilyTrainer(
            self._family,
            [task.spec for task in self._tasks],
            train_config(config, is_night=False, seed=self._seed + self._num_earlier),
            num_steps=_MANY_STEPS,
            learns=config.learns,
        )
