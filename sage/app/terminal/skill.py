"""Prediction skill: 1 - error / error of repeating the last reading, over scored readings only.

The summary and the report both compute their figures here, so that they agree.
Invariant: a reading counts only where both errors are finite, so that numerator and denominator cover the
same readings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from sage.app.terminal.figures import signed_percent
from sage.runtime.report import NAN, SleepOutcome, SourceFacts

MAX_BINS = 48
#: Outcomes of a sleep that trained and examined a model. A skipped or failed sleep separates nothing.
NIGHTS = (SleepOutcome.ACCEPTED, SleepOutcome.ROLLED_BACK, SleepOutcome.UNDECIDED)
#: The name of the row over several sources. The clock and the recall source are not part of it: predicting
#: them is not predicting the world.
ALL_PHYSICAL = "all physical sources"


class Stretch(IntEnum):
    """Where a tick lies between nights. A night ends before the first tick that the new weights compute.

    BEFORE: up to the end of the first night.  AFTER: since the end of the last one, or the whole session when
    there was none.
    """

    BEFORE = 0
    BETWEEN = 1
    AFTER = 2


@dataclass(slots=True)
class SkillSums:
    """Sums over scored readings. skip: error of the model's linear part alone; skipped: the whole model's
    error on the same readings.
    """

    num_scored: float = 0.0
    error: float = 0.0
    persistence: float = 0.0
    skip: float = 0.0
    skipped: float = 0.0

    def add(self, source: SourceFacts) -> bool:
        """Add one source of one tick. Returns False when it has no scored reading."""
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
        """Multiply every sum by `factor`; 1 - 1/n makes them a mean over about the last n readings."""
        self.num_scored *= factor
        self.error *= factor
        self.persistence *= factor
        self.skip *= factor
        self.skipped *= factor

    @property
    def skill(self) -> float:
        """1 is perfect, 0 equals persistence, below 0 is worse; NaN where nothing was scored or nothing
        changed.
        """
        return 1 - self.error / self.persistence if self.persistence > 0 else NAN

    @property
    def gain_over_skip(self) -> float:
        """Share of the linear part's error that the recurrent model removes."""
        return 1 - self.skipped / self.skip if self.skip > 0 else NAN


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillFigures:
    """Skill by stretch of the session, NaN where a stretch does not exist or has no scored reading.

    before_sleep: up to the end of the first night; after_sleep: since the end of the last.
    first_third, last_third: of the session's ticks.  gain_over_skip: see SkillSums.
    """

    num_scored: int
    overall: float
    before_sleep: float
    after_sleep: float
    first_third: float
    last_third: float
    gain_over_skip: float


#: Sums by source, by bin (equal numbers of ticks) and by stretch.
Cells = dict[tuple[str, int, Stretch], SkillSums]


class SkillTable:
    """Sums of a session by source, bin of ticks and stretch, in at most 48 bins.

    Filled tick by tick, or with the sums that a store adds up. Each bin covers `bin_width(num_ticks)` ticks,
    so a
    third is exact to one bin: at most 1/24 of the session.
    """

    def __init__(self, cells: Cells | None = None, *, num_ticks: int = 0, num_nights: int = 0) -> None:
        self._cells: Cells = {} if cells is None else cells
        self._num_ticks = num_ticks
        self._width = bin_width(num_ticks)
        self._num_nights = num_nights

    def next_tick(self) -> None:
        """Call once a tick, before `add`."""
        self._num_ticks += 1
        if bin_width(self._num_ticks) > self._width:
            self._width *= 2
            self._regroup(lambda source, index, stretch: (source, index // 2, stretch))

    def add(self, source: SourceFacts) -> None:
        key = (source.name, (self._num_ticks - 1) // self._width, Stretch.AFTER)
        sums = self._cells.get(key)
        if sums is None:
            sums = self._cells[key] = SkillSums()
        sums.add(source)

    def end_night(self) -> None:
        """Call when a night ends, before the next tick. Only for the outcomes in NIGHTS."""
        earlier = Stretch.BETWEEN if self._num_nights else Stretch.BEFORE
        self._num_nights += 1
        self._regroup(
            lambda source, index, stretch: (source, index, earlier if stretch is Stretch.AFTER else stretch)
        )

    def figures(self, sources: Collection[str]) -> SkillFigures:
        """Of these sources together."""
        cells = {key: sums for key, sums in self._cells.items() if key[0] in sources}
        num_bins = max(1, math.ceil(self._num_ticks / self._width))
        third = max(1, round(num_bins / 3))
        overall = _total(cells.values())
        has_slept = self._num_nights > 0
        return SkillFigures(
            num_scored=int(overall.num_scored),
            overall=overall.skill,
            before_sleep=_in_stretch(cells, Stretch.BEFORE).skill,
            after_sleep=_in_stretch(cells, Stretch.AFTER).skill if has_slept else NAN,
            first_third=_total(sums for key, sums in cells.items() if key[1] < third).skill,
            last_third=_total(sums for key, sums in cells.items() if key[1] >= num_bins - third).skill,
            gain_over_skip=overall.gain_over_skip,
        )

    def _regroup(self, key_of: Callable[[str, int, Stretch], tuple[str, int, Stretch]]) -> None:
        before, self._cells = self._cells, {}
        for key, sums in before.items():
            self._cells.setdefault(key_of(*key), SkillSums()).merge(sums)


def bin_width(num_ticks: int) -> int:
    """Ticks a bin: the smallest power of 2 that covers `num_ticks` in at most MAX_BINS bins."""
    return 1 << max(0, math.ceil(num_ticks / MAX_BINS) - 1).bit_length()


def counted_sources(names: Collection[str], temporal: Collection[str]) -> tuple[str, ...]:
    """The sources that the figures over several sources cover: the physical ones."""
    return tuple(name for name in names if name not in temporal)


def verdict(skill: SkillFigures) -> str:
    """One sentence on the skill of the physical sources together."""
    if math.isnan(skill.overall):
        return "No prediction could be compared with repeating the last reading."
    parts = [
        f"{label} {signed_percent(-value, 0)}"
        for label, value in (
            ("first third", skill.first_third),
            ("last third", skill.last_third),
            ("before sleep", skill.before_sleep),
            ("after sleep", skill.after_sleep),
        )
        if math.isfinite(value)
    ]
    details = f" ({', '.join(parts)})" if parts else ""
    compared = _compared(skill.overall)
    return f"The squared prediction error was {compared} that of repeating the last reading{details}."


def _compared(skill: float) -> str:
    share = round(100 * abs(skill))
    return "equal to" if share == 0 else f"{share:,}% {'below' if skill > 0 else 'above'}"


def _in_stretch(cells: Mapping[tuple[str, int, Stretch], SkillSums], stretch: Stretch) -> SkillSums:
    return _total(sums for key, sums in cells.items() if key[2] is stretch)


def _total(parts: Iterable[SkillSums]) -> SkillSums:
    total = SkillSums()
    for part in parts:
        total.merge(part)
    return total
