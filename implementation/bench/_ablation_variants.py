"""The variants of the ablation: each is the whole model with one thing taken away, or one thing asked of it.

Invariant: every variant of a group has the same puzzles to evaluate on, the same steps and the same rows a
step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import Examples, Task, TaskSpec

#: Two nets, two cycles each, eight segments: what everything else is compared with.
WHOLE: dict[str, Any] = {
    "shares_nets": False,
    "H_cycles": 2,
    "L_cycles": 2,
    "gradient": "full",
    "halt_max_segments": 8,
}


class Passed(nn.Module):
    """In place of a net: the state becomes what was said to it."""

    def forward(self, h_BSD: Tensor, injection_BSD: Tensor, rope: Tensor | None) -> Tensor:
        return injection_BSD


def without_H(model: HRM) -> None:
    model.inner.H_level = Passed()


def without_L(model: HRM) -> None:
    model.inner.L_level = Passed()


class FewPuzzles:
    """`task` that trains on its first `num` puzzles alone, with or without its symmetries."""

    def __init__(self, task: Any, num: int, *, is_moved: bool) -> None:
        self._task, self._is_moved = task, is_moved
        self._kept: Examples = task.sample(num, np.random.default_rng(1))

    @property
    def spec(self) -> TaskSpec:
        spec: TaskSpec = self._task.spec
        return spec

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        rows = self._kept.take(rng.integers(0, len(self._kept), size=num))
        return self._task.transform(rows, rng) if self._is_moved else rows

    def held_out(self, num: int) -> Examples:
        return self._task.held_out(num)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._task.verify(inputs, answers)


@dataclass(frozen=True)
class Variant:
    """model, train: changes to the config and to the training.  surgery: done to the model before.  task:
    around the usual one.

    prior: task options to train on first, for as many steps.
    """

    group: str
    name: str
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    surgery: Callable[[HRM], None] = lambda model: None
    task: Callable[[Task], Task] = lambda task: task
    prior: Mapping[str, Any] | None = None
    share_of_steps: float = 1.0


def few(num: int, *, is_moved: bool) -> Callable[[Task], Task]:
    return lambda task: FewPuzzles(task, num, is_moved=is_moved)


VARIANTS: tuple[Variant, ...] = (
    Variant("parts", "whole"),
    Variant("parts", "one net plays both", model={"shares_nets": True}),
    Variant("parts", "no H (z_H is z_L)", surgery=without_H),
    Variant("parts", "no L (z_L is z_H + x)", surgery=without_L),
    Variant("halting", "no ACT (always 8 segments)", train={"q_weight": 0.0}),
    Variant("halting", "no outer loop (1 segment)", model={"halt_max_segments": 1}),
    Variant("gradient", "through the last cycle", model={"gradient": "last_cycle"}),
    Variant("gradient", "one step", model={"gradient": "one_step"}),
    Variant("size", "tiny", preset="tiny"),
    Variant("size", "small", preset="small"),
    Variant("size", "medium", preset="medium"),
    Variant("transfer", "a quarter of the steps, from scratch", share_of_steps=0.25),
    Variant(
        "transfer",
        "the same after puzzles of 8 to 10 givens",
        share_of_steps=0.25,
        prior={"size": 4, "givens": [8, 10]},
    ),
    Variant("few-shot", "16 puzzles", task=few(16, is_moved=False)),
    Variant("few-shot", "16 puzzles and their symmetries", task=few(16, is_moved=True)),
    Variant("few-shot", "256 puzzles and their symmetries", task=few(256, is_moved=True)),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
