"""Learning-rate schedule: a linear warm-up, then a cosine decay to a minimum.

Invariant: a pure function of the step number, so that a resumed run has the same rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The ratio rises to 1 in `warmup_steps` steps, then decays to `min_ratio` at step `num_steps`. A
    min_ratio of 1 is a constant rate.
    """

    num_steps: int
    warmup_steps: int = 0
    min_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InputError(f"num_steps is {self.num_steps}: give 1 or more")
        if self.warmup_steps < 0:
            raise InputError(f"warmup_steps is {self.warmup_steps}: give 0 or more")
        if not 0 <= self.min_ratio <= 1:
            raise InputError(f"min_ratio is {self.min_ratio}: give a share, 0 to 1")

    def ratio(self, step: int) -> float:
        """The factor on every base rate in step 1, 2, ... (counted as in HRM's published trainer)."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, self.num_steps - self.warmup_steps))
        return self.min_ratio + (1.0 - self.min_ratio) * 0.5 * (1.0 + math.cos(math.pi * progress))
