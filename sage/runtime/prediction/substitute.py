"""What is predicted in place of a source's readings while they are beyond belief.

Two faults are recognised from one reading or a few, each only while other sources do not share it: a jump far
beyond every innovation of the source so far, whose offset is then taken from its readings, and equal readings
of a source that never repeats, which are replaced by the others' estimate and the way back to its mean. Both
end after a bounded number of readings, for the world may have changed. Invariant: while nothing is replaced,
`believed` is the readings; a source without a fresh reading does not change.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from sage.compiled import has_compiler, kernel
from sage.runtime.prediction import substitute_rules as rules
from sage.runtime.prediction import substitute_steps as steps
from sage.runtime.prediction.predictor import Raw

#: Rows that belong to a run: no part of a snapshot.
_TRANSIENT_BY_SOURCE = (
    *(steps.RUN, steps.AGE, steps.SINCE_JUMP, steps.SINCE_MOVE),
    *(steps.STARTED, steps.GAP, steps.NEWEST, steps.IS_LATE),
)
_TRANSIENT_BY_CHANNEL = (steps.LAST, steps.OFFSET, steps.FIRST, steps.SUM)


class Substitutes:
    """Substitutes for C channels of N sources.

    offsets: (N + 1,) channel range of each source.  is_tested: (N,) bool.  is_compiled: None uses numba where
    it is installed.  kind: (N,) why a source's readings are replaced: rules.NONE, STEP or FROZEN.  believed:
    (C,) what to learn from and predict by, raw.
    """

    def __init__(
        self, offsets: np.ndarray, is_tested: np.ndarray, *, is_compiled: bool | None = None
    ) -> None:
        self._offsets = np.asarray(offsets, dtype=np.int64)
        size, num = int(self._offsets[-1]), len(is_tested)
        self._is_tested = is_tested & (np.diff(self._offsets) <= rules.MAX_CHANNELS)
        self._is_tested_channel = np.repeat(self._is_tested, np.diff(self._offsets))
        self.kind = np.zeros(num, dtype=np.int64)
        self.believed = np.zeros(size)
        self._before = np.zeros(size)
        self._jump = np.zeros(num)
        self._by_source = np.zeros((steps.NUM_BY_SOURCE, num))
        self._by_channel = np.zeros((steps.NUM_BY_CHANNEL, size))
        self._is_compiled = has_compiler() if is_compiled is None else is_compiled
        if self._is_compiled:  # compiles now, not in the first tick: nothing is fresh
            none, nothing = np.zeros(num, dtype=bool), np.zeros(size)
            self.read(none, nothing, np.zeros(num, dtype=np.int64), nothing, (nothing, nothing, nothing))
            self.compare(none, nothing, none)

    @property
    def is_active(self) -> bool:
        """Whether any source's readings are replaced."""
        return bool(np.count_nonzero(self.kind))

    def expect_jumps(self) -> None:
        """Find no jump in the next ticks: what the loop itself does changes what sources measure."""
        np.minimum(
            self._by_source[steps.SINCE_JUMP], -rules.NIGHT_TICKS, out=self._by_source[steps.SINCE_JUMP]
        )

    def read(
        self,
        fresh: np.ndarray,
        values: np.ndarray,
        captured_ns: np.ndarray,
        prediction: np.ndarray,
        moments: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """(C,) `believed`, raw, after the fresh readings.

        fresh: (N,) bool.  values: (C,) raw readings.  captured_ns: (N,) int64.  prediction: (C,) what was
        predicted for them.  moments: (C,) each, number, mean and sum of squared deviations of the earlier
        readings that were believed.
        """
        step = _compiled()[0] if self._is_compiled else steps.read
        np.copyto(self.believed, values)
        np.copyto(self._before, self._by_channel[steps.LAST])
        state = (self.kind, self._jump, self._by_source, self._by_channel, self.believed)
        given = (values, captured_ns, prediction, self._offsets, *moments)
        step(fresh & self._is_tested, *given, *state)
        return self.believed

    def compare(self, fresh: np.ndarray, estimate: np.ndarray, is_defined: np.ndarray) -> None:
        """Learn how good the others' estimate is, and put it in place of frozen readings.

        fresh: (N,) bool.  estimate: (C,) raw, of the readings given to `read` last.  is_defined: (N,) bool.
        """
        step = _compiled()[1] if self._is_compiled else steps.compare
        state = (self.kind, self._by_source, self._by_channel, self.believed)
        step(fresh & self._is_tested, estimate, is_defined, self._offsets, *state)

    def end(self, is_silent: np.ndarray) -> None:
        """Replace nothing more of sources that deliver nothing. is_silent: (N,) bool."""
        for source in np.flatnonzero(is_silent & (self.kind != rules.NONE)):
            self.kind[source] = rules.NONE
            own = slice(self._offsets[source], self._offsets[source + 1])
            self._by_channel[(steps.OFFSET, steps.FIRST), own] = 0.0

    def raw(self, fresh: np.ndarray, values: np.ndarray, last: np.ndarray) -> Raw | None:
        """The readings given to `read` last, for the predictor's scores; None while nothing is replaced.
        last: (C,) raw, the newest reading before of sources that are not tested.
        """
        if not self.is_active:
            return None
        return Raw(
            fresh=fresh,
            is_replaced=self.kind != rules.NONE,
            is_repeat=self._by_source[steps.RUN] > 0,
            values=values,
            before=np.where(self._is_tested_channel, self._before, last),
        )

    @property
    def is_frozen(self) -> np.ndarray:
        """(N,) bool, the source stands still and its readings are not learned from."""
        frozen: np.ndarray = self.kind == rules.FROZEN
        return frozen

    @property
    def doubt(self) -> np.ndarray:
        """(N,) NaN where a source's readings are not replaced."""
        return np.where(self.kind != rules.NONE, rules.HELD_DOUBT, np.nan)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        by_source, by_channel = self._by_source.copy(), self._by_channel.copy()
        by_source[_TRANSIENT_BY_SOURCE, :], by_channel[_TRANSIENT_BY_CHANNEL, :] = 0.0, 0.0
        return {"by_source": by_source, "by_channel": by_channel}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore the records that `state` returned; an empty one, of an older snapshot, leaves none. Nothing
        is replaced afterwards: the readings of another run do not follow from these.
        """
        if state:
            self._by_source, self._by_channel = state["by_source"].copy(), state["by_channel"].copy()
        self.kind[:] = rules.NONE


@cache
def _compiled() -> tuple[Any, Any]:
    from numba.extending import register_jitable

    for step in steps.STEPS:
        register_jitable(step)
    return kernel(steps.read), kernel(steps.compare)
