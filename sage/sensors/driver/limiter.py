"""The limits of one effector, applied to each action before the device gets it.

Invariant: what `limited` returns is within the range. It is within the workspace and changes by no more than
the slew limit from what was last done; where what was last done is outside the workspace, it moves back
towards it.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from sage.errors import pass_on
from sage.sensors.contract import Action, EffectorSpec, SensorError
from sage.sensors.limits import MAX_SLEW_SECS, EffectorLimits

#: How far, relative to a channel's range, permitted values may differ from given ones and count as equal.
TOLERANCE = 1e-6


class ActionLimiter:
    """Used by one driver. limits: those of the run's configuration, combined with the spec's."""

    def __init__(self, spec: EffectorSpec, limits: EffectorLimits | None = None) -> None:
        self._spec = spec
        self._limits = spec.limits if limits is None else spec.limits.combined(limits)
        spec.check_limits(self._limits)
        low = np.array(self._limits.low or (-np.inf,) * len(spec.low))
        high = np.array(self._limits.high or (np.inf,) * len(spec.low))
        is_whole = np.dtype(spec.tensor.dtype).kind in "iu"
        self._low: np.ndarray = np.ceil(low) if is_whole else low
        self._high: np.ndarray = np.floor(high) if is_whole else high
        rate_hz = self._limits.max_rate_hz
        self._num_in_window = 0 if rate_hz is None else max(1, int(rate_hz))
        self._window_ns = 0 if rate_hz is None else round(self._num_in_window / rate_hz * 1e9)
        self._applied_ns: deque[int] = deque(maxlen=max(1, self._num_in_window))
        self._done = spec.limited(spec.rest_values())
        self._done_ns: int | None = None
        self._tolerance = TOLERANCE * (np.array(spec.high) - np.array(spec.low))

    def is_too_soon(self, now_ns: int) -> bool:
        """Whether the rate limit forbids an action now."""
        if not self._num_in_window or len(self._applied_ns) < self._num_in_window:
            return False
        return now_ns - self._applied_ns[0] < self._window_ns

    def limited(self, values: np.ndarray, now_ns: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """The values that may be done (spec.tensor), and which limits changed them: "range", "workspace",
        "slew". values: finite. Raises SensorError when the spec's `permit` fails.
        """
        spec, limits = self._spec, self._limits
        within = spec.limited(values)
        names = ["range"] if _differ(within, values) else []
        if limits.is_empty:
            return within, tuple(names)
        placed = self._placed(within)
        if _differ(placed, within):
            names.append("workspace")
        if not limits.max_slew:
            return placed, tuple(names)
        slowed = self._slowed(placed, now_ns)
        if _differ(slowed, placed):
            names.append("slew")
        if not self._is_permitted(slowed) and self._is_permitted(self._held_values()):
            names += [] if "workspace" in names else ["workspace"]
            slowed = self._held_values()
        return slowed, tuple(names)

    def note_applied(self, now_ns: int) -> None:
        """An action was given to the device."""
        if self._num_in_window:
            self._applied_ns.append(now_ns)

    def note_done(self, action: Action) -> None:
        """What the device returned: where it is now, done or held."""
        self._done = action.values
        self._done_ns = action.stamp_ns

    def _placed(self, values: np.ndarray) -> np.ndarray:
        """Within the workspace."""
        boxed = np.minimum(np.maximum(values.astype(np.float64), self._low), self._high)
        return self._spec.limited(self._permitted(boxed))

    def _permitted(self, values: np.ndarray) -> np.ndarray:
        """By the spec's function, around which a plug-in's errors end."""
        if self._limits.permit is None:
            return values
        name = self._spec.name
        try:
            permitted = np.asarray(self._limits.permit(values.copy()), dtype=np.float64)
        except BaseException as error:  # around a plug-in
            pass_on(error)
            raise SensorError(f"{name}: the workspace: {type(error).__name__}: {error}") from error
        if permitted.shape != values.shape or not np.isfinite(permitted).all():
            raise SensorError(
                f"{name}: the workspace returned {permitted.shape}, or a value that is not finite"
            )
        return permitted

    def _is_permitted(self, values: np.ndarray) -> bool:
        if self._limits.permit is None:
            return True
        given = values.astype(np.float64)
        return bool((np.abs(self._permitted(given) - given) <= self._tolerance).all())

    def _held_values(self) -> np.ndarray:
        """What was last done; of a chunk its last step, for every step."""
        if self._done.ndim == 1:
            return self._done
        return np.ascontiguousarray(np.broadcast_to(self._done[-1], self._done.shape))

    def _slowed(self, values: np.ndarray, now_ns: int) -> np.ndarray:
        """Each step at most max_slew times the time since the one before, from what was last done."""
        slew = np.array(self._limits.max_slew)
        secs = MAX_SLEW_SECS
        if self._done_ns is not None:
            secs = min(MAX_SLEW_SECS, max(0.0, (now_ns - self._done_ns) * 1e-9))
        steps = values.astype(np.float64).reshape(-1, values.shape[-1])
        before = self._done.astype(np.float64).reshape(-1, values.shape[-1])[-1]
        slowed = np.empty_like(steps)
        for index, wanted in enumerate(steps):
            room = slew * (secs if index == 0 else self._spec.step_secs or 0.0)
            before = slowed[index] = self._towards(before, wanted, room)
        dtype = np.dtype(self._spec.tensor.dtype)
        return slowed.reshape(values.shape).astype(dtype)

    def _towards(self, before: np.ndarray, wanted: np.ndarray, room: np.ndarray) -> np.ndarray:
        change = np.clip(wanted - before, -room, room)
        if np.dtype(self._spec.tensor.dtype).kind in "iu":
            change = np.trunc(change)
        moved: np.ndarray = before + change
        return moved


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one != other).any())
