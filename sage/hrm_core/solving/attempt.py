"""An answer that a try or a node of the search ended with, and which of two is the better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """number: of the try; for a node of the search, the number of tries.  cells (L,) int32.  q: the halt
    head's value before the sigmoid.  merit: what unverified answers are ranked by, the highest first.
    is_early: it ended before its most segments.
    """

    number: int
    cells: np.ndarray
    q: float
    merit: float
    is_verified: bool
    num_segments: int
    is_early: bool

    def beats(self, other: Attempt | None) -> bool:
        """A verified answer before any other, then the higher merit, then the earlier."""
        if other is None or self.is_verified != other.is_verified:
            return other is None or self.is_verified
        if self.is_verified or self.merit == other.merit:
            return self.number < other.number
        return self.merit > other.merit
