"""Optimizer steps on a family of models: each step is one segment of a batch of one level.

Invariant: weights that are not trained stay as they are, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.ema import EMA
from sage.hrm_core.optim.optimizers import Optimizers
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.learner import Learner, StepFacts
from sage.hrm_core.training.stream import RowSource
from sage.runtime.config import SolverTrainingConfig

Learns = Literal["low", "high", "all"]
CLIP_NORM = 1.0


class FamilyTrainer:
    """One optimizer and one moving average over the shared weights; the rows of a batch for each level.

    learns: "low" trains all but the H net, "high" the H net alone. InputError where the nets are shared and
    it is not "all". ranks: processes that take each step together.  num_steps: steps so far, finite ones.
    """

    def __init__(
        self,
        family: ModelFamily,
        specs: Sequence[TaskSpec],
        config: TrainConfig,
        *,
        num_steps: int,
        learns: Learns = "all",
        ranks: Ranks = SINGLE,
    ) -> None:
        check_learns(family, learns)
        for name, weight in family.named_parameters():
            weight.requires_grad_(learns == "all" or (learns == "high") == is_high(name))
        family.train()
        self.family = family
        self.num_steps = 0
        self.num_bad_steps = 0
        self._optimizers = optimizers = Optimizers(family, config.optimizer, num_steps=num_steps)
        self._ema = EMA(family, config.ema_decay or 0.0)
        self._learners = [
            Learner(
                family[index],
                spec,
                config,
                num_steps=num_steps,
                ranks=ranks,
                optimizers=optimizers,
                ema=self._ema,
            )
            for index, spec in enumerate(specs)
        ]

    def step(self, level: int, source: RowSource, *, rate: float = 1.0) -> StepFacts:
        """One step on rows of that level. A step that is not finite changes no weight. rate: a factor on the
        scheduled learning rate.
        """
        self._optimizers.scale = rate
        facts = self._learners[level].step(self.num_steps + self.num_bad_steps + 1, source)
        self.num_steps += facts.is_finite
        self.num_bad_steps += not facts.is_finite
        return facts

    def end_at(self, num_steps: int) -> None:
        """Let the learning rate fall to its end at that step."""
        self._optimizers.schedule = replace(self._optimizers.schedule, num_steps=num_steps)

    def average_over(self, num_steps: float) -> None:
        """Let the average span about so many of the last steps, 1 or more."""
        self._ema.decay = 1.0 - 1.0 / num_steps

    def averaged_weights(self) -> dict[str, Tensor]:
        """Copies of the averaged weights, by the family's names."""
        with self._ema.applied():
            return {name: tensor.clone() for name, tensor in self.family.weights().items()}


def train_config(config: SolverTrainingConfig, *, is_night: bool, seed: int) -> TrainConfig:
    """The recipe of `sage train` on a CPU, with these settings. A night's rate falls to 0; practice scales
    its own by the errors. Both set the span of the average before each step.
    """
    return TrainConfig(
        batch_size=config.batch_size,
        seed=seed,
        cross_entropy="softmax",
        clip_norm=CLIP_NORM,
        q_weight=config.q_weight,
        ema_decay=config.ema_decay,
        matmul="medium",
        optimizer=OptimizerConfig(
            kind="muon",
            lr=config.night_learning_rate if is_night else config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.night_warmup_steps if is_night else config.warmup_steps,
            min_lr_ratio=0.0 if is_night else 1.0,
        ),
    )


def is_high(name: str) -> bool:
    """Whether a parameter of a family belongs to an H net of its own."""
    return "inner.H_level." in name


def check_learns(family: ModelFamily, learns: Learns) -> None:
    """InputError where "low" or "high" is asked of models whose one net is both."""
    if learns != "all" and any(config.shares_nets for config in family.configs):
        raise InputError(
            f"learns is {learns}: the model's L net is its H net: give all, or set solving.two_nets"
        )


def is_finite(weights: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
