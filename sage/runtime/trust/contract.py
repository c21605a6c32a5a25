"""What the loop requires of a trust estimator: evidence in, trust and noise out.

`Judged` is common to all forms. `TrustForm` is that of physical sources; sources of answers have evidence of
their own (`trust/answers`). Invariant: what `update` learns takes effect in the next tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One tick's evidence; all (N,).

    fresh: bool, a new reading came.  innovation_sq: mean squared leave-one-out innovation per channel,
    standardised; NaN where undefined.  level_sq: mean squared reading per channel, standardised.
    self_error_sq: mean squared error of the source's own prediction; NaN where undefined.  is_repeat: bool,
    the reading is bit-identical to the one before and not at an end of its range.  own_doubt: 0..1, how far
    the reading is beyond the source's own record; NaN where untested.  is_tied: bool, the source changes
    together with the others, which may contradict it. Left out: nothing is tested, and all are tied.
    """

    fresh: np.ndarray
    innovation_sq: np.ndarray
    level_sq: np.ndarray
    self_error_sq: np.ndarray
    is_repeat: np.ndarray
    own_doubt: np.ndarray | None = None
    is_tied: np.ndarray | None = None

    @classmethod
    def nothing(cls, num_sources: int) -> Evidence:
        """A tick without a reading."""
        none = np.zeros(num_sources, dtype=bool)
        undefined = np.full(num_sources, np.nan)
        return cls(
            fresh=none,
            innovation_sq=undefined,
            level_sq=undefined,
            self_error_sq=undefined,
            is_repeat=none,
        )


class Judged(Protocol):
    """What every trust form reports of N sources, whatever its evidence. All arrays are (N,)."""

    @property
    def nis(self) -> np.ndarray:
        """Normalised innovation squared of the last judged reading, 1 is normal; NaN where undefined."""
        ...

    @property
    def responsibility(self) -> np.ndarray:
        """Probability that the last judged reading is an inlier."""
        ...

    @property
    def is_stuck(self) -> np.ndarray:
        """bool"""
        ...

    @property
    def trust(self) -> np.ndarray:
        """0..1."""
        ...

    @property
    def share(self) -> np.ndarray:
        """(N,) 0..1, mean of the distribution on "the next reading is right"."""
        ...

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """Another context begins. before, after: (N,) 0..1, share of right readings by a source's record in
        the old context and in the new one.  left: (N,) `share` when the new one was last left, 1 before that.
        """
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        ...

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        ...


@runtime_checkable
class HasVerdict(Protocol):
    """A form whose verdicts entity memory counts."""

    @property
    def verdict(self) -> np.ndarray:
        """(N,) how probable it is that the last tick's reading was right, whatever the source's trust; NaN
        where the tick was no evidence.
        """
        ...


class TrustForm(Judged, HasVerdict, Protocol):
    """A form whose evidence is one tick's innovations."""

    @property
    def is_judged(self) -> np.ndarray:
        """(N,) bool, whether there was evidence for or against each source."""
        ...

    @property
    def noise(self) -> np.ndarray:
        """Normal mean squared innovation of each source, 0 while unknown."""
        ...

    def update(self, evidence: Evidence) -> None:
        """Learn from one tick; sources without a fresh reading do not change."""
        ...
