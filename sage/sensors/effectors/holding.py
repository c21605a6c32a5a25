"""What effectors share that hold after `abort` until they are opened again.

Invariant: what is returned as done is finite and within the ranges of the spec.
"""

from __future__ import annotations

import numpy as np

from sage.sensors.contract import Action, EffectorSpec, SensorError


class HoldingEffector:
    """A kind overrides `_accepts` or `_do`, and extends open and close."""

    def __init__(self, spec: EffectorSpec) -> None:
        self._spec = spec
        self._position = spec.limited(np.zeros(spec.tensor.shape))
        self._is_open = False
        self._is_held = False

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        self._is_open = True
        self._is_held = False

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        """Values out of range are limited; with one that is not finite, it holds its position."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        action = self._done(values, stamp_ns)
        self._do(values, action)
        self._position = action.values
        return action

    def abort(self) -> None:
        self._is_held = True

    def close(self) -> None:
        self._is_open = False

    def _accepts(self, done: np.ndarray) -> bool:
        """Whether values within the ranges can be done; those that cannot are held."""
        return True

    def _do(self, requested: np.ndarray, action: Action) -> None:
        """Do an action, or note that it is held. Raises SensorError."""

    def _done(self, values: np.ndarray, stamp_ns: int) -> Action:
        spec = self._spec
        if not self._is_held and np.isfinite(values).all():
            done = spec.limited(values)
            if self._accepts(done):
                is_limited = bool((done != values).any())
                return Action(spec=spec, values=done, stamp_ns=stamp_ns, is_limited=is_limited)
        return Action(spec=spec, values=self._position, stamp_ns=stamp_ns, is_held=True)
