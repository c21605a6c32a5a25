"""The first stage of a puzzle: a plain try, and tries with noise or from random starts.

Invariant: tries begin in order, and the answer is that of the first try the verifier accepts, else of the one
with the highest merit, the earlier of equals: which of them ended first never matters.
"""

from __future__ import annotations

import numpy as np

from sage.hrm_core.solving.attempt import Attempt
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.settings import SolveSettings


class Tries:
    """cells (L,) int32.  seed: of noise and random starts."""

    def __init__(self, cells: np.ndarray, settings: SolveSettings, seed: int) -> None:
        self.best: Attempt | None = None
        self.first: Row | None = None
        self.num_started = 0
        self._cells = cells
        self._settings = settings
        self._seed = seed
        self._live: set[int] = set()

    @property
    def has_more(self) -> bool:
        """Whether there is a try left that could change the answer."""
        return self.num_started < self._settings.tries and not (self.best and self.best.is_verified)

    @property
    def is_over(self) -> bool:
        return not self._live and not self.has_more

    def start(self) -> Row:
        number = self.num_started
        self._live.add(number)
        self.num_started += 1
        seed = self._seed if number else None
        is_noisy = self._settings.variation == "noise"
        return Row(
            number=number,
            inputs=self._cells,
            settings=self._settings,
            max_segments=self._settings.max_segments,
            is_try=True,
            reads_output=number == 0 and self._settings.search > 0,
            noise_seed=seed if is_noisy else None,
            start_seed=None if is_noisy else seed,
        )

    def needs(self, row: Row) -> bool:
        return row.number in self._live

    def end(self, row: Row, *, is_verified: bool) -> None:
        """Record a try's answer; if it is verified, later tries are dropped."""
        assert row.answer is not None
        self._live.discard(row.number)
        if row.number == 0:
            self.first = row
        attempt = Attempt(
            number=row.number,
            cells=row.answer,
            q=row.q,
            merit=row.merit,
            is_verified=is_verified,
            num_segments=row.num_segments,
            is_early=not row.is_at_limit,
        )
        if attempt.beats(self.best):
            self.best = attempt
        if is_verified:
            self._live = {number for number in self._live if number < row.number}
