"""Which weight is moved by what: one config, and the optimizers of a model as one.

Invariant: every parameter belongs to exactly one optimizer; the puzzle table, which is none, to its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from sage.hrm_core.hrm import PuzzleEmbedding
from sage.hrm_core.optim.adam_atan2 import AdamATan2
from sage.hrm_core.optim.muon import Muon
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.hrm_core.optim.schedule import Schedule
from sage.hrm_core.optim.sign_sgd import SparseSignSGD

OptimizerKind = Literal["adam_atan2", "muon", "adamw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """kind: "muon" moves the nets' matrices at `lr`, and AdamW at `rest_lr` (`lr` where None) all the rest.

    betas, weight_decay: of the kind, and of AdamW beside Muon.  puzzle_lr, puzzle_weight_decay: of the puzzle table.
    """

    kind: OptimizerKind = "adam_atan2"
    lr: float = 1e-4
    rest_lr: float | None = None
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.95
    weight_decay: float = 0.1
    puzzle_lr: float = 1e-2
    puzzle_weight_decay: float = 0.1
    warmup_steps: int = 2000
    min_lr_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(OptimizerKind):
            raise ValueError(f"optimizer.kind is {self.kind!r}: give one of {', '.join(get_args(OptimizerKind))}")
        for name in ("lr", "puzzle_lr", "weight_decay", "puzzle_weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"optimizer.{name} is {getattr(self, name)}: give 0 or more")


class Optimizers:
    """Every optimizer of one model, stepped together at the rate of the schedule."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, *, num_steps: int, ranks: Ranks = SINGLE) -> None:
        self.schedule = Schedule(num_steps=num_steps, warmup_steps=config.warmup_steps, min_ratio=config.min_lr_ratio)
        self._dense = _dense(model, config)
        self._base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._dense]
        tables = [module.weights for module in model.modules() if isinstance(module, PuzzleEmbedding)]
        self._tables = [
            SparseSignSGD(table, lr=config.puzzle_lr, weight_decay=config.puzzle_weight_decay, ranks=ranks) for table in tables
        ]

    def step(self, number: int) -> float:
        """Take step `number` (1, 2, ...); returns the schedule's ratio."""
        ratio = self.schedule.ratio(number)
        for optimizer, base_lrs in zip(self._dense, self._base_lrs):
            for group, base_lr in zip(optimizer.param_groups, base_lrs):
                group["lr"] = base_lr * ratio
            optimizer.step()
        for table in self._tables:
            table.lr = table.base_lr * ratio
            table.step()
        return ratio

    def zero_grad(self) -> None:
        for optimizer in (*self._dense, *self._tables):
            optimizer.zero_grad()

    def state(self) -> tuple[dict[str, Tensor], list[Any]]:
        """Tensors by name, and the plain rest. Tables have no state but their weights."""
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
        """What `state` gave, of a model and config alike. ValueError where it is another's."""
        if len(plain) != len(self._dense):
            raise ValueError(f"{len(plain)} optimizers in the state, {len(self._dense)} here: resume with the same optimizer")
        for number, (optimizer, saved) in enumerate(zip(self._dense, plain)):
            state: dict[int, dict[str, Any]] = {}
            for path, value in [*tensors.items(), *((f"{number}.{name}", each) for name, each in saved["numbers"].items())]:
                owner, index, name = path.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = value.clone() if isinstance(value, Tensor) else value
            optimizer.load_state_dict({"state": state, "param_groups": saved["groups"]})


def _dense(model: nn.Module, config: OptimizerConfig) -> list[Optimizer]:
    named = dict(model.named_parameters())
    if config.kind == "adam_atan2":
        return [AdamATan2(list(named.values()), config.lr, config.betas, config.weight_decay)]
    if config.kind == "adamw":
        return [_adamw(list(named.values()), config.lr, config)]
    inner = [weight for name, weight in named.items() if "_level." in name and weight.ndim == 2]
    chosen = set(map(id, inner))
    rest = [weight for weight in named.values() if id(weight) not in chosen]
    rest_lr = config.lr if config.rest_lr is None else config.rest_lr
    muon = [Muon(inner, config.lr, config.momentum, config.weight_decay)] if inner else []
    return [*muon, _adamw(rest, rest_lr, config)]


def _adamw(weights: list[nn.Parameter], lr: float, config: OptimizerConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(weights, lr=lr, betas=config.betas, weight_decay=config.weight_decay, fused=True)
