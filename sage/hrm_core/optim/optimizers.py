"""The optimizers of a model as one object.

Invariant: every parameter belongs to exactly one optimizer; the puzzle table, which is not a parameter, has
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from sage.errors import InputError
from sage.hrm_core.model.hrm import PuzzleEmbedding
from sage.hrm_core.optim.adam_atan2 import AdamATan2
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.optim.muon import Muon
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.optim.schedule import Schedule
from sage.hrm_core.optim.sign_sgd import SparseSignSGD

#: Of an optimizer's group, what is no setting: the numbers of its weights, and how often it has stepped.
_STATE_OF_GROUP = ("params", "num_steps")


class Optimizers:
    """All optimizers of one model, stepped together at the scheduled rate. scale: a factor on that."""

    def __init__(
        self, model: nn.Module, config: OptimizerConfig, *, num_steps: int, ranks: Ranks = SINGLE
    ) -> None:
        self.scale = 1.0
        self.schedule = Schedule(
            num_steps=num_steps, warmup_steps=config.warmup_steps, min_ratio=config.min_lr_ratio
        )
        self._dense = _dense(model, config)
        self._base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._dense]
        tables = [module.weights for module in model.modules() if isinstance(module, PuzzleEmbedding)]
        self._tables = [
            SparseSignSGD(table, lr=config.puzzle_lr, weight_decay=config.puzzle_weight_decay, ranks=ranks)
            for table in tables
        ]

    def step(self, number: int) -> float:
        """Take step `number` (1, 2, ...); returns the factor on the base rates."""
        ratio = self.scale * self.schedule.ratio(number)
        for optimizer, base_lrs in zip(self._dense, self._base_lrs):
            for group, base_lr in zip(optimizer.param_groups, base_lrs):
                group["lr"] = base_lr * ratio
            optimizer.step()
        for table in self._tables:
            table.lr = table.base_lr * ratio
            table.step()
        return ratio

    def zero_grad(self) -> None:
        for optimizer in self._dense:
            optimizer.zero_grad()
        for table in self._tables:
            table.zero_grad()

    def state(self) -> tuple[dict[str, Tensor], list[Any]]:
        """Tensors by name, and all other state as JSON values. Tables have no state besides their weights."""
        tensors: dict[str, Tensor] = {}
        plain: list[Any] = []
        for number, optimizer in enumerate(self._dense):
            state = optimizer.state_dict()
            numbers: dict[str, Any] = {}
            for index, values in state["state"].items():
                for name, value in values.items():
                    if isinstance(value, Tensor):
                        tensors[f"{number}.{index}.{name}"] = value
                    else:
                        numbers[f"{index}.{name}"] = value
            plain.append({"groups": state["param_groups"], "numbers": numbers})
        return tensors, plain

    def load_state(self, tensors: Mapping[str, Tensor], plain: list[Any]) -> None:
        """Restore a result of `state` of an equal model. Rates, decays and momenta stay those of the config
        here. Raises InputError if it does not fit.
        """
        if len(plain) != len(self._dense):
            raise InputError(
                f"{len(plain)} optimizers in the state, {len(self._dense)} here: resume with the same"
                " optimizer"
            )
        for number, (optimizer, saved) in enumerate(zip(self._dense, plain)):
            state: dict[int, dict[str, Any]] = {}
            for path, value in [
                *tensors.items(),
                *((f"{number}.{name}", each) for name, each in saved["numbers"].items()),
            ]:
                owner, index, name = path.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = (
                        value.clone() if isinstance(value, Tensor) else value
                    )
            groups = [
                {**own, **{key: value for key, value in theirs.items() if key in _STATE_OF_GROUP}}
                for own, theirs in zip(optimizer.param_groups, saved["groups"], strict=True)
            ]
            optimizer.load_state_dict({"state": state, "param_groups": groups})


def _dense(model: nn.Module, config: OptimizerConfig) -> list[Optimizer]:
    named = dict(model.named_parameters())
    if config.kind == "adam_atan2":
        return [AdamATan2(list(named.values()), config.lr, config.betas, config.weight_decay)]
    if config.kind == "adamw":
        return [_adamw(list(named.values()), config.lr, config.weight_decay, config)]
    inner = [weight for name, weight in named.items() if "_level." in name and weight.ndim == 2]
    chosen = set(map(id, inner))
    rest = [weight for weight in named.values() if id(weight) not in chosen]
    rest_lr = config.lr if config.rest_lr is None else config.rest_lr
    rest_decay = config.weight_decay if config.rest_weight_decay is None else config.rest_weight_decay
    muon = [Muon(inner, config.lr, config.momentum, config.weight_decay)] if inner else []
    return [*muon, _adamw(rest, rest_lr, rest_decay, config)]


def _adamw(
    weights: list[nn.Parameter], lr: float, weight_decay: float, config: OptimizerConfig
) -> torch.optim.AdamW:
    return torch.optim.AdamW(weights, lr=lr, betas=config.betas, weight_decay=weight_decay, fused=True)
