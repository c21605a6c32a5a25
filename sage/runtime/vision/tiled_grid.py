"""An image as a grid of luminance and a summary of the tiles in focus.

All tiles are looked at cheaply in every frame; the K best by trust x (change + motion) x edges are read at
full resolution. Invariant: no tile goes without full resolution for more than 4 T / K + 1 frames, for T
tiles.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.runtime.config import AttentionConfig
from sage.runtime.scheduling.attention import Attention
from sage.runtime.vision.focus import SIZE, FocusAttention
from sage.runtime.vision.periphery import STILL, Periphery

MIN_TILE = 5  # pixels


class TiledGrid:
    """An ObservationMap with state: of the frames of one source, in order. size: T + 16.

    focus: (K,) or fewer tiles of the last frame, ascending.  uses_trust: False weighs all tiles alike.
    """

    unit = "luminance"

    def __init__(
        self, shape: tuple[int, ...], grid: tuple[int, int], focus_tiles: int, *, uses_trust: bool = True
    ) -> None:
        self.periphery = Periphery(shape, grid)
        num = grid[0] * grid[1]
        if not 1 <= focus_tiles <= num or min(self.periphery.tile) < MIN_TILE:
            raise InputError(
                f"vision.focus_tiles is {focus_tiles} for frames of {shape[0]} x {shape[1]}: give 1 to {num},"
                f" and frames of at least {MIN_TILE * grid[0]} x {MIN_TILE * grid[1]}"
            )
        self.size = num + SIZE
        self.attention = Attention(num, AttentionConfig(top_k=focus_tiles, policy="deficit"))
        self.focus = np.zeros(0, dtype=np.intp)
        self._summary = FocusAttention(self.periphery.tile, grid)
        self._uses_trust = uses_trust

    def __call__(self, reading: np.ndarray) -> np.ndarray:
        """(size,): mean luminance of each tile, then the summary of the tiles in focus."""
        seen = self.periphery
        seen.look(reading)
        trust = seen.trust if self._uses_trust else np.ones_like(seen.trust)
        score = trust * (seen.change + seen.motion) * (1 + seen.edges / 255)
        wanted = (seen.motion > STILL) | (self.attention.waited >= self.attention.overdue)
        self.focus = np.flatnonzero(self.attention.choose(score, wanted))
        return np.concatenate([seen.mean, self._summary.summary(reading, self.focus, trust[self.focus])])
