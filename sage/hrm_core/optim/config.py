"""How weights are updated: one frozen config, checked when it is made. Imports no torch.

Invariant: a value that is out of range is an InputError that names the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from sage.errors import InputError

OptimizerKind = Literal["adam_atan2", "muon", "adamw"]
MatmulKind = Literal["highest", "high", "medium"]
#: Of learning rates and weight decays: their products with each other and with a weight fit float32.
LARGEST_RATE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """kind: "muon" updates the nets' matrices with Muon at `lr`, all other weights with AdamW at `rest_lr`
    (None: `lr`).

    betas, weight_decay: of this kind; beside Muon also of AdamW, unless rest_weight_decay is set.
    puzzle_lr, puzzle_weight_decay: of the puzzle table.
    warmup_steps, min_lr_ratio: linear warm-up, then cosine decay to `min_lr_ratio * lr`; 1.0 is a constant
    rate.
    """

    kind: OptimizerKind = "adam_atan2"
    lr: float = 1e-4
    rest_lr: float | None = None
    rest_weight_decay: float | None = None
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.95
    weight_decay: float = 0.1
    puzzle_lr: float = 1e-2
    puzzle_weight_decay: float = 0.1
    warmup_steps: int = 2000
    min_lr_ratio: float = 1.0

    def __post_init__(self) -> None:
        kinds = get_args(OptimizerKind)
        require(self.kind in kinds, "optimizer.kind", self.kind, f"give one of {', '.join(kinds)}")
        for name in (
            "lr",
            "rest_lr",
            "puzzle_lr",
            "weight_decay",
            "rest_weight_decay",
            "puzzle_weight_decay",
        ):
            value = getattr(self, name)
            is_met = 0 <= value <= LARGEST_RATE if value is not None else name.startswith("rest_")
            require(is_met, f"optimizer.{name}", value, f"give a number from 0 to {LARGEST_RATE:,}")
        require(
            0 <= self.warmup_steps < inf,
            "optimizer.warmup_steps",
            self.warmup_steps,
            "give a finite number, 0 or more",
        )
        is_met = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require(is_met, "optimizer.betas", self.betas, "give two numbers from 0 to below 1")
        require(
            0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "give a number from 0 to below 1"
        )
        ratio = self.min_lr_ratio
        require(0 <= ratio <= 1, "optimizer.min_lr_ratio", ratio, "give a number from 0 to 1")


def require(is_met: bool, name: str, value: object, remedy: str) -> None:
    """InputError `NAME is VALUE: REMEDY` unless `is_met`."""
    if not is_met:
        raise InputError(f"{name} is {value!r}: {remedy}")
