"""Linear prediction of a channel's change from the other channels, beyond its own past; learned online.

Ridge regression, by recursive least squares, of the linear skip's residual on the last change and the level
of every physical source. It learns from hundreds of readings, where gradient steps on a network need tens of
thousands. Invariant: a reading is predicted, then learned from, once; a gate weighs the result (see `gate`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError
from sage.runtime.prediction.gate import OnlineGate

PRIOR_READINGS = 500.0  # the ridge, in readings
MAX_DEVIATIONS = 6.0  # bound of features and targets
MAX_FEATURES = 192  # more features are mixed down: the cost of a reading is quadratic
MAX_CATCH_UP = 8.0
DRIFT = 1e-5  # share of the prior variance that returns each reading: a memory of about 7,000
#: Of a coefficient's variance, in prior variances. Nothing is learned along a direction in which the features
#: do not move, and its variance would grow without end: after a week at rest the first readings that move
#: would decide the weights (estimator windup; Åström and Wittenmark, Adaptive Control, 1995, section 11.5).
MAX_VARIANCE = 2.0
SCALE_READINGS = 2000.0  # memory of the scales
MIXING_SEED = 20261
STATE_NAMES = (
    "covariance",
    "weights",
    "num_changes",
    "num_targets",
    "change_square",
    "residual_square",
    "num_learned",
)


class WideSkip:
    """Corrections for C channels from those of physical sources. Float64, vectorised over channels.

    is_witness: (C,) bool, the channels used as features. All channels share one covariance of features; the
    step of a channel with fewer readings is larger in proportion.  is_compiled: None uses numba where it is
    installed.
    """

    def __init__(
        self,
        is_witness: np.ndarray,
        *,
        prior_readings: float = PRIOR_READINGS,
        is_compiled: bool | None = None,
    ) -> None:
        size = len(is_witness)
        self._witnesses = np.flatnonzero(is_witness)
        num = len(self._witnesses)
        self._seen = np.zeros((2, num))
        self._mixing: np.ndarray | None = None
        if 2 * num > MAX_FEATURES:
            mixed = MAX_FEATURES // 2
            self._mixing = np.random.default_rng(MIXING_SEED).normal(0, num**-0.5, (num, mixed))
            num = mixed
        self._gate = OnlineGate(size, is_compiled=is_compiled)
        self._covariance = np.eye(2 * num + 1) / prior_readings
        self._doubt = DRIFT / prior_readings
        self._most_variance = MAX_VARIANCE / prior_readings
        self._weights = np.zeros((2 * num + 1, size))
        self._features = np.zeros(2 * num + 1)
        self._proposal = np.zeros(size)
        self._change_square = np.zeros(size)
        self._residual_square = np.zeros(size)
        self._num_changes = np.zeros(size)
        self._num_targets = np.zeros(size)
        self._num_learned = np.zeros(1)
        self._known = np.zeros(size, dtype=np.intp)
        self._target = np.zeros(size)
        self._kernel: Any = None
        if has_compiler() if is_compiled is None else is_compiled:
            self._compile()

    def learn(self, channels: np.ndarray, residual: np.ndarray, change: np.ndarray) -> None:
        """Learn the `residual` (k,) that the skip left of the `change` (k,) of `channels` (k,); raw units."""
        if len(channels) == 0:
            return
        if self._kernel is not None:
            num_known = self._prepare(channels, residual, change)
            if num_known and self._features.any():
                self._step(self._known[:num_known], self._target[:num_known])
            self._kernel.track(self._residual_square, self._num_targets, channels, residual, SCALE_READINGS)
            return
        self._gate.update(channels, residual, self._proposal[channels])
        scale = np.sqrt(self._residual_square[channels])
        _track(self._change_square, self._num_changes, channels, change)
        is_known = scale > 0
        if self._features.any() and is_known.any():
            known, target = channels[is_known], residual[is_known] / scale[is_known]
            self._step(known, np.clip(target, -MAX_DEVIATIONS, MAX_DEVIATIONS))
        _track(self._residual_square, self._num_targets, channels, residual)

    def look(self, deltas: np.ndarray, levels: np.ndarray) -> None:
        """Update the features: last changes (C,) in raw units, levels (C,) in deviations from their mean."""
        if self._kernel is not None:
            seen = self._seen
            self._kernel.look(deltas, levels, self._witnesses, self._change_square, MAX_DEVIATIONS, seen)
            self._features[:-1] = (seen if self._mixing is None else seen.dot(self._mixing)).reshape(-1)
            self._features[-1] = 1.0
            predicted = self._features.dot(self._weights)
            self._kernel.propose(predicted, self._residual_square, MAX_DEVIATIONS, self._proposal)
            return
        unit = np.sqrt(self._change_square)
        deltas = np.where(unit > 0, deltas / np.where(unit > 0, unit, 1.0), 0.0)
        seen = np.clip(
            np.stack((deltas, levels))[:, self._witnesses], -MAX_DEVIATIONS, MAX_DEVIATIONS
        )  # (2, W)
        if self._mixing is not None:
            seen = seen.dot(self._mixing)
        self._features = np.append(seen, 1.0)
        bound = MAX_DEVIATIONS * np.sqrt(self._residual_square)
        self._proposal = np.clip(
            self._features.dot(self._weights) * np.sqrt(self._residual_square), -bound, bound
        )

    def predict(self) -> np.ndarray:
        """(C,) the gated correction of the skip, raw units."""
        correction: np.ndarray = self._gate.weigh(self._proposal) * self._proposal
        return correction

    def _compile(self) -> None:
        """Compile now, not in the first tick: calls without a channel change nothing."""
        from sage.runtime.prediction import wide_kernel

        self._kernel = wide_kernel
        none, nothing = np.zeros(0, dtype=np.intp), np.zeros(0)
        weights = self._weights
        wide_kernel.step(
            none, nothing, nothing, nothing, 0.0, self._doubt, self._most_variance, MAX_CATCH_UP,
            np.zeros(1), nothing, weights[:0].copy(), self._covariance[:0].copy(),
        )  # fmt: skip
        self._prepare(none, nothing, nothing)
        wide_kernel.track(self._residual_square, self._num_targets, none, nothing, SCALE_READINGS)
        wide_kernel.look(nothing, nothing, none, self._change_square, MAX_DEVIATIONS, self._seen)
        wide_kernel.propose(nothing, self._residual_square, MAX_DEVIATIONS, self._proposal)

    def _prepare(self, channels: np.ndarray, residual: np.ndarray, change: np.ndarray) -> int:
        """Fill _known and _target; returns how many."""
        num_known: int = self._kernel.prepare(
            channels,
            residual,
            change,
            self._proposal,
            *self._gate.arrays,
            self._change_square,
            self._num_changes,
            self._residual_square,
            SCALE_READINGS,
            MAX_DEVIATIONS,
            self._known,
            self._target,
        )
        return num_known

    def _step(self, channels: np.ndarray, target: np.ndarray) -> None:
        x = self._features
        direction = self._covariance.dot(x)
        power = float(x.dot(direction))
        if self._kernel is not None:
            predicted = x.dot(self._weights[:, channels])
            self._kernel.step(
                channels, target, predicted, direction, power, self._doubt, self._most_variance,
                MAX_CATCH_UP, self._num_learned, self._num_targets, self._weights, self._covariance,
            )  # fmt: skip
            return
        self._num_learned += 1.0
        catch_up = np.clip(
            self._num_learned / np.maximum(self._num_targets[channels], 1.0), 1.0, MAX_CATCH_UP
        )
        error = target - x.dot(self._weights[:, channels])
        self._weights[:, channels] += np.outer(direction, error * catch_up / (1.0 + catch_up * power))
        self._covariance -= np.outer(direction, direction / (1.0 + power))
        diagonal = self._covariance.flat[:: len(x) + 1]
        self._covariance.flat[:: len(x) + 1] += np.where(diagonal < self._most_variance, self._doubt, 0.0)

    def state(self) -> dict[str, np.ndarray]:
        own = {name: getattr(self, f"_{name}").copy() for name in STATE_NAMES}
        return own | {f"gate.{name}": array for name, array in self._gate.state().items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in STATE_NAMES:
            target = getattr(self, f"_{name}")
            if np.shape(state[name]) != target.shape:
                raise InputError(
                    f"{name} has shape {np.shape(state[name])}, not {target.shape}: load one of these sources"
                )
            target[:] = state[name]
        self._gate.load_state({name: state[f"gate.{name}"] for name in self._gate.state()})


def _track(square: np.ndarray, count: np.ndarray, channels: np.ndarray, values: np.ndarray) -> None:
    """Running mean square of `values` (k,), over all at first, then over the last SCALE_READINGS."""
    count[channels] += 1.0
    square[channels] += (values**2 - square[channels]) / np.minimum(count[channels], SCALE_READINGS)
