"""What the plain try of one puzzle did, segment by segment: for display.

Invariant: recording changes neither the answer nor its cost in segments.
Shapes: L cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """After one segment.  answer (L,) int32: the likeliest symbol of each cell.  certainty (L,) float32: its
    probability, 0..1.  q: the halt head's logit.
    H_change, L_change: root mean square of the change of z_H, z_L in the segment over that of the state
    before it, 0 or more; not finite where the model's output is not.
    """

    answer: np.ndarray
    certainty: np.ndarray
    q: float
    H_change: float
    L_change: float


class StepRecord:
    """Filled by the engine with the plain try of a puzzle, from its first segment.

    max_steps: segments that are kept; those after them are counted only.
    """

    def __init__(self, max_steps: int = 256) -> None:
        self.steps: list[Step] = []
        self.num_segments = 0
        self._max_steps = max_steps

    @property
    def is_full(self) -> bool:
        return len(self.steps) >= self._max_steps

    def add(self, step: Step) -> None:
        self.num_segments += 1
        if not self.is_full:
            self.steps.append(step)
