"""Prediction skill, summed as it comes: 1 - error / error of "nothing changes", over scored readings only.

Invariant: a reading counts only where both errors are finite, so that numerator and denominator are about the
same readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sage.runtime.report import NAN, SourceFacts


@dataclass(slots=True)
class SkillSums:
    """Running sums over scored readings. skip: error of the model's own linear skip, with `skipped` the
    model's on the same.
    """

    num_scored: float = 0.0
    error: float = 0.0
    persistence: float = 0.0
    skip: float = 0.0
    skipped: float = 0.0

    def add(self, source: SourceFacts) -> bool:
        """Take in one source of one tick; False when it held no scored reading."""
        if not (math.isfinite(source.error) and math.isfinite(source.persistence_error)):
            return False
        self.num_scored += 1
        self.error += source.error
        self.persistence += source.persistence_error
        if math.isfinite(source.skip_error):
            self.skip += source.skip_error
            self.skipped += source.error
        return True

    def merge(self, other: SkillSums) -> None:
        self.num_scored += other.num_scored
        self.error += other.error
        self.persistence += other.persistence
        self.skip += other.skip
        self.skipped += other.skipped

    def decay(self, factor: float) -> None:
        """Forget a little: with factor 1 - 1/n the sums are about the last n readings."""
        self.num_scored *= factor
        self.error *= factor
        self.persistence *= factor
        self.skip *= factor
        self.skipped *= factor

    @property
    def skill(self) -> float:
        """1 is perfect, 0 no better than persistence, below 0 worse; NaN where nothing was scored or nothing
        moved.
        """
        return 1 - self.error / self.persistence if self.persistence > 0 else NAN

    @property
    def gain_over_skip(self) -> float:
        """What the recurrent model takes off the error of its own linear skip, as a share of it."""
        return 1 - self.skipped / self.skip if self.skip > 0 else NAN


class SkillPhases:
    """Skill over the first and last third of a run of unknown length, in at most 48 bins.

    When the bins are full, neighbours merge and each then covers twice as many ticks; a third is
    right to one bin, at most 1/24 of the run.
    """

    _MAX_BINS = 48

    def __init__(self) -> None:
        self._bins: list[SkillSums] = [SkillSums()]
        self._ticks_per_bin = 1
        self._num_ticks_in_last = 0

    def next_tick(self) -> None:
        """Every tick passes here, scored or not: thirds are of time."""
        if self._num_ticks_in_last == self._ticks_per_bin:
            if len(self._bins) == self._MAX_BINS:
                self._halve()
            self._bins.append(SkillSums())
            self._num_ticks_in_last = 0
        self._num_ticks_in_last += 1

    def add(self, source: SourceFacts) -> None:
        self._bins[-1].add(source)

    def first_third(self) -> SkillSums:
        return _total(self._bins[: self._third()])

    def last_third(self) -> SkillSums:
        return _total(self._bins[-self._third() :])

    def _third(self) -> int:
        return max(1, round(len(self._bins) / 3))

    def _halve(self) -> None:
        pairs = zip(self._bins[::2], self._bins[1::2])
        self._bins = [_total([first, second]) for first, second in pairs]
        self._ticks_per_bin *= 2


def _total(parts: list[SkillSums]) -> SkillSums:
    total = SkillSums()
    for part in parts:
        total.merge(part)
    return total
