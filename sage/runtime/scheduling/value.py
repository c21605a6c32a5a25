"""What a reading is worth: how recent it is, how fast its source leaves its prediction, what waiting costs.

A source whose error grows by s a tick and that is read with frequency f has a mean error of s / (2 f); the
sum over all sources is least where f is proportional to sqrt(s) (Cauchy-Schwarz). Read by the largest cost of
waiting, sources come to these frequencies, and to equal intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel

RATE = 0.1  # of the running mean of a source's growth


class ErrorGrowth:
    """rate: (N,) running mean of squared error a tick of waiting; 1 before the first.  value: its root."""

    def __init__(self, num_sources: int) -> None:
        self._mean = np.full(num_sources, np.nan)
        self._was_read = np.zeros(num_sources, dtype=bool)

    @property
    def rate(self) -> np.ndarray:
        """Sources without an error yet have the mean of the others."""
        known = np.isfinite(self._mean)
        fallback = float(self._mean[known].mean()) if known.any() else 1.0
        return np.where(known, self._mean, fallback)

    @property
    def value(self) -> np.ndarray:
        root: np.ndarray = np.sqrt(self.rate)
        return root

    def note(self, error: np.ndarray, waited: np.ndarray, is_read: np.ndarray) -> None:
        """error: (N,) squared error of this tick's scored prediction, NaN without one.  waited: (N,) ticks
        since the reading before.  is_read: (N,) bool, sources read in this tick. Without an error from their
        second reading on they have not changed: that is an error of 0.
        """
        scored = np.isfinite(error) | (is_read & self._was_read)
        self._was_read |= is_read
        error = np.where(np.isfinite(error), error, 0.0)
        growth = np.minimum(error, 1e12) / np.maximum(waited, 1)
        started = np.where(np.isfinite(self._mean), self._mean, growth)
        self._mean = np.where(scored, (1 - RATE) * started + RATE * growth, self._mean)


def cost_of_waiting(
    rate: np.ndarray, trust: np.ndarray, waited: np.ndarray, period: np.ndarray | float = 1.0
) -> np.ndarray:
    """(N,) Whittle's index of sources whose errors grow linearly: rate x h (h + p) / 2 after h ticks, where
    the next reading comes p ticks later. For p = 1 see Tripathi and Modiano, A Whittle index approach to
    minimizing functions of age of information, 2019.

    rate: (N,) growth of the squared error a tick.  trust: (N,) 0..1.  waited, period: (N,) ticks, 1 or more.
    In so far as a source is distrusted its rate counts up to the median of all: its errors may be those of a
    fault, but without readings it is not judged again.
    """
    capped = np.minimum(rate, np.median(rate))
    cost: np.ndarray = (capped + trust * (rate - capped)) * (0.5 * waited * (waited + period))
    return cost


class Ages:
    """How old the readings of N sources are. period_ns, max_age_ns: (N,), the latter of a usable reading.

    is_compiled: None uses numba where it is installed.
    """

    def __init__(
        self, period_ns: np.ndarray, max_age_ns: np.ndarray, *, is_compiled: bool | None = None
    ) -> None:
        self._period_ns = np.asarray(period_ns, dtype=np.float64)
        self._max_age_ns = np.asarray(max_age_ns, dtype=np.float64)
        self._measure: Callable[..., None] = measure
        if has_compiler() if is_compiled is None else is_compiled:
            self._measure = _compiled()
            none = np.zeros(len(self._period_ns), dtype=np.int64)
            self.of(none, 0, none > 0)  # compiles now, not in the first tick

    def of(
        self, captured_ns: np.ndarray, now_ns: int, is_running: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) each: the age in ns, -1 without a reading (captured_ns < 0); whether the source is usable; its
        recency: 1 within two periods of the source, then halved with each further one, 0 without a reading.
        """
        num = len(captured_ns)
        age_ns, usable = np.empty(num, dtype=np.int64), np.empty(num, dtype=bool)
        halvings = np.empty(num)
        self._measure(
            captured_ns, now_ns, is_running, self._period_ns, self._max_age_ns, age_ns, usable, halvings
        )
        return age_ns, usable, 0.5**halvings


def measure(
    captured_ns: np.ndarray,
    now_ns: int,
    is_running: np.ndarray,
    period_ns: np.ndarray,
    max_age_ns: np.ndarray,
    age_ns: np.ndarray,
    usable: np.ndarray,
    halvings: np.ndarray,
) -> None:
    """As `Ages.of`. Compiled where numba is installed."""
    for source in range(len(captured_ns)):
        age_ns[source], usable[source], halvings[source] = -1, False, np.inf
        if captured_ns[source] >= 0:
            # A bounded sensor captures after the tick's start: its age is 0, not negative.
            age = max(now_ns - captured_ns[source], 0)
            age_ns[source] = age
            usable[source] = is_running[source] and age <= max_age_ns[source]
            halvings[source] = min(max(age / period_ns[source] - 2.0, 0.0), 60.0)


@cache
def _compiled() -> Any:
    return kernel(measure)
