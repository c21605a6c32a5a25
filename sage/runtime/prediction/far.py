"""One implausible reading leaves no trace in what is learned of a source.

Means, variances, gates and records add squares over thousands of readings, or over all, so that one huge
reading would decide them from then on: its influence has no bound (P. J. Huber, Annals of Mathematical
Statistics 35, 1964). A reading farther than FAR deviations from its channel's mean is scored, and not learned
from. A change of the world lasts: the LASTING-th in a row and those after it are learned from like any other.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.sensors.environment import RESET_QUANTITY, REWARD_QUANTITY

#: Deviations. A source that was at rest for a million readings and then moves is at most so many away.
FAR = 1000.0
#: Far readings in a row that are a change of the world.
LASTING = 3
#: Readings before a channel has a scale.
MIN_READINGS = 16
#: A larger reading counts as not finite: its fourth power overflows.
MAX_VALUE = 1e60


class FarReadings:
    """Of physical sources of plain numbers; a reward or a sign of an event is rare, and far from its mean."""

    def __init__(self, layout: Layout) -> None:
        is_event = np.array([spec.observes[0] in (REWARD_QUANTITY, RESET_QUANTITY) for spec in layout.specs])
        self._layout = layout
        self._is_tested = (layout.is_replaceable & ~is_event)[layout.source_of_channel]
        self._run = np.zeros(layout.num_sources, dtype=np.int64)
        self._has_run = False
        self._none = np.zeros(layout.num_sources, dtype=bool)

    def find(
        self, met: np.ndarray, values: np.ndarray, moments: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """(N,) bool, the sources whose new reading is far, and not one of a lasting change.

        met: (N,) bool, where a reading is new.  values: (C,) raw.  moments: (C,) each, number, mean and sum
        of squared deviations of the earlier readings.
        """
        count, mean, square = moments
        off = values - mean
        off *= off
        off *= count
        is_far = off > FAR * FAR * square
        if not self._has_run and not np.count_nonzero(is_far):
            return self._none
        is_far &= self._is_tested & (square > 0) & (count >= MIN_READINGS)
        far: np.ndarray = (self._layout.per_source(is_far) > 0) & met
        self._run[met] = np.where(far, self._run + 1, 0)[met]
        self._has_run = bool(np.count_nonzero(self._run))
        return far & (self._run < LASTING)
