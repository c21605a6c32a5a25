"""Each source against its own record: jumps, new levels, bursts, ramps, frozen and replayed readings, and
readings beyond the declared range. No other source is needed.

A reading beyond the record counts against its source for a few seconds; what lasts longer becomes part of the
record, unless the source stands still, replays or is out of its range. Sources that leave their records
together are not doubted: the world has changed. Invariant: a source without a fresh reading does not change.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel
from sage.runtime.trust import own_rules as rules
from sage.runtime.trust import own_steps

#: What `own_steps.update` changes, in the order of its arguments.
_UPDATED = (
    "_ring",
    "_level",
    "_common_value",
    "_common_share",
    "_flags",
    "_by_channel",
    "_channel_top",
    "_channel_block",
    "_by_source",
    "_source_top",
    "_source_block",
    "_matches",
    "_alarms",
    "_counts",
    "severity",
    "doubt",
)
_STATE = tuple(name for name in _UPDATED if name not in ("severity", "doubt"))


class OwnRecord:
    """Records of C channels of N sources.

    offsets: (N + 1,) channel range of each source.  is_tested: (N,) bool.  low, high: (C,) the ends of each
    channel's declared range, infinite where there is none.  is_compiled: None uses numba where it is
    installed.  severity: (N,) of the last reading, 0 within the record.  doubt: (N,) 0..1, at least 1/2 at a
    reading beyond the record.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        is_tested: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        *,
        is_compiled: bool | None = None,
    ) -> None:
        self._offsets = np.asarray(offsets, dtype=np.int64)
        self._is_tested, self._low, self._high = is_tested, low, high
        self._has_range = np.logical_or.reduceat(np.isfinite(low) | np.isfinite(high), self._offsets[:-1])
        size, num = int(self._offsets[-1]), len(is_tested)
        self._ring = np.zeros((rules.RING, size))
        self._level = np.zeros((2, size))
        self._common_value = np.full((rules.NUM_VALUES, size), np.nan)
        self._common_share = np.zeros((rules.NUM_VALUES, size))
        self._flags = np.zeros((2, rules.WINDOW, size), dtype=bool)
        self._by_channel = np.zeros((rules.NUM_BY_CHANNEL, size))
        self._channel_top = np.zeros((rules.NUM_BY_CHANNEL, size, rules.KEPT))
        self._channel_block = np.zeros((rules.NUM_BY_CHANNEL, size))
        self._by_source = np.zeros((rules.NUM_BY_SOURCE, num))
        self._source_top = np.zeros((rules.NUM_BY_SOURCE, num, rules.KEPT))
        self._source_block = np.zeros((rules.NUM_BY_SOURCE, num))
        self._matches = np.zeros((rules.MAX_LAG + 2, num))
        self._alarms = np.zeros((4, size), dtype=np.int64)
        self._counts = np.zeros((4, num), dtype=np.int64)
        self.severity = np.zeros(num)
        self.doubt = np.zeros(num)
        self._is_compiled = has_compiler() if is_compiled is None else is_compiled
        if self._is_compiled:
            self.update(np.zeros(num, dtype=bool), np.zeros(size))  # compiles now, not in the first tick

    def update(self, fresh: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(N,) the doubt about each source after its new reading, 0..1; NaN where too little was tested.

        fresh: (N,) bool.  values: (C,) raw readings where fresh.
        """
        step, known = _compiled() if self._is_compiled else (own_steps.update, own_steps.known_doubt)
        state = (getattr(self, name) for name in _UPDATED)
        step(fresh & self._is_tested, values, self._low, self._high, self._offsets, *state)
        doubt = np.empty(len(self.doubt))
        known(self._counts, self._has_range, self.doubt, doubt)
        return doubt

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        return {name.removeprefix("_"): np.asarray(getattr(self, name)).copy() for name in _STATE}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned; an empty one, of an older snapshot, leaves the records empty."""
        for name in _STATE if state else ():
            setattr(self, name, state[name.removeprefix("_")].copy())


@cache
def _compiled() -> tuple[Any, Any]:
    from numba.extending import register_jitable

    for step in own_steps.STEPS:
        register_jitable(step)
    return kernel(own_steps.update), kernel(own_steps.known_doubt)
