"""Durations of ticks: quantiles in constant memory, and those of a night beside those of waking."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from sage.app.terminal.figures import count, millis
from sage.runtime.report import NAN, State


@dataclass(frozen=True, slots=True, kw_only=True)
class NightTicks:
    """99th percentiles of whole ticks while a night ran and while none did; NaN of no tick."""

    num_night: int = 0
    night_p99_ns: float = NAN
    num_waking: int = 0
    waking_p99_ns: float = NAN


class NightTickTally:
    """Durations of ticks by whether a night ran in them: the state is DREAM."""

    def __init__(self) -> None:
        self._night = LogHistogram()
        self._waking = LogHistogram()

    def add(self, state: State, total_ns: int) -> None:
        (self._night if state is State.DREAM else self._waking).add(total_ns)

    def figures(self) -> NightTicks:
        return NightTicks(
            num_night=self._night.num,
            night_p99_ns=self._night.quantile(0.99),
            num_waking=self._waking.num,
            waking_p99_ns=self._waking.quantile(0.99),
        )


def night_ticks_text(ticks: NightTicks) -> str:
    """Both percentiles, each with its number of ticks; "" without a tick during a night."""
    if not ticks.num_night:
        return ""
    waking = f", else {millis(ticks.waking_p99_ns)} of {count(ticks.num_waking)}" if ticks.num_waking else ""
    return f"during nights {millis(ticks.night_p99_ns)} of {count(ticks.num_night)} ticks{waking}"


class LogHistogram:
    """Quantiles of durations to 1%, in a bounded number of counts: bin k counts durations in [1.02^k,
    1.02^(k+1)) ns.
    """

    _LOG_BASE = math.log(1.02)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.num = 0

    def add(self, value_ns: int) -> None:
        self._counts[int(math.log(max(1, value_ns)) / self._LOG_BASE)] += 1
        self.num += 1

    def quantile(self, share: float) -> float:
        """The middle of the bin that holds the quantile; NaN of nothing."""
        rank = share * (self.num - 1)
        num_below = 0
        for index in sorted(self._counts):
            num_below += self._counts[index]
            if num_below > rank:
                return math.exp((index + 0.5) * self._LOG_BASE)
        return NAN
