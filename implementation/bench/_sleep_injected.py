"""Nights made bad on purpose, on a network that has learned digits: each must be rolled back and named."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from _sleep_digits import NUM_CLASSES
from _sleep_learners import Learner
from torch import Tensor, nn

from sage.memory.stores.labelled import Labelled
from sage.runtime.report import SleepOutcome
from sage.runtime.sleep.rehearsal import RehearsalPlan, Rehearsed, rehearse

FAULTS = ("wrong labels", "learning rate x100", "NaN", "an all-synthetic diet", "a collapsed candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """One bad night. is_untouched: the weights are bit for bit those of before."""

    fault: str
    outcome: str
    reason: str
    is_untouched: bool

    @property
    def is_rolled_back(self) -> bool:
        return self.outcome == SleepOutcome.ROLLED_BACK.value and self.is_untouched


def inject_all(learner: Learner, plan: RehearsalPlan) -> list[Injected]:
    """The five nights, each from the same weights."""
    return [_inject(fault, learner, plan) for fault in FAULTS]


def _inject(fault: str, learner: Learner, plan: RehearsalPlan) -> Injected:
    model, replay = copy.deepcopy(learner.model), learner.replay.all()
    if fault == "wrong labels":
        replay = replay.replace(labels=(replay.labels + 1) % NUM_CLASSES)
    elif fault == "learning rate x100":
        plan = dataclasses.replace(plan, learning_rate=100 * plan.learning_rate)
    elif fault == "NaN":
        replay = replay.replace(inputs=torch.full_like(replay.inputs, torch.nan))
    elif fault == "an all-synthetic diet":
        replay = own_words(model, replay)
    else:  # every experience is said to be of one class, as a model that repeats itself would label them
        replay = replay.replace(labels=torch.zeros_like(replay.labels), outputs=_one_answer(replay.outputs))
    before = copy.deepcopy(model.state_dict())
    ended = _night(model, replay, learner, plan)
    is_untouched = all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return Injected(
        fault=fault,
        outcome=ended.verdict.outcome.value,
        reason=ended.verdict.reason,
        is_untouched=is_untouched,
    )


def _night(model: nn.Module, replay: Labelled, learner: Learner, plan: RehearsalPlan) -> Rehearsed:
    examined = learner.examined.all()
    return rehearse(model, replay, examined, np.ones(len(examined), bool), plan)


def own_words(model: nn.Module, replay: Labelled) -> Labelled:
    """Inputs drawn at random, labelled by the model itself."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(replay.inputs.shape, generator=generator)
    with torch.no_grad():
        outputs = model(inputs)
    return replay.replace(
        inputs=inputs,
        labels=outputs.argmax(-1),
        outputs=outputs,
        is_real=torch.zeros_like(replay.is_real),
    )


def _one_answer(outputs: Tensor) -> Tensor:
    answers = torch.full_like(outputs, -5.0)
    answers[:, 0] = 5.0
    return answers


def cut_nights(learner: Learner, plan: RehearsalPlan, num_cuts: int) -> tuple[int, int]:
    """Nights cut at `num_cuts` steps from the first to the last: how many, and how many left the old
    weights.
    """
    steps = sorted({round(step) for step in np.linspace(0, plan.num_steps - 1, num_cuts)})
    return len(steps), sum(_is_untouched_by_cut(learner, plan, step) for step in steps)


def _is_untouched_by_cut(learner: Learner, plan: RehearsalPlan, last_step: int) -> bool:
    before, examined = copy.deepcopy(learner.model.state_dict()), learner.examined.all()
    is_new = np.ones(len(examined), bool)
    try:
        rehearse(learner.model, learner.replay.all(), examined, is_new, plan, augment=_CutAfter(last_step))
    except _CutError:
        state = learner.model.state_dict()
        return all(torch.equal(state[name], tensor) for name, tensor in before.items())
    return False


class _CutError(Exception):
    pass


class _CutAfter:
    """An augmentation that raises in the step after `last`."""

    def __init__(self, last: int) -> None:
        self._num_left = last

    def __call__(self, inputs: Tensor, contexts: Tensor, generator: torch.Generator) -> Tensor:
        if self._num_left == 0:
            raise _CutError
        self._num_left -= 1
        return inputs
