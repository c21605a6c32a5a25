"""Linear prediction of each channel's next change from its own last readings.

Experts (nothing changes; autoregression with slow and fast drift; three running means) are mixed by their
recent losses, and a gate weighs the mixture by its past gain (see `gate`). Invariant: a reading is scored,
then learned from, once; the prediction is finite, and exactly 0 for a channel without evidence or without a
change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError
from sage.runtime.prediction.coefficient_filter import CoefficientFilter
from sage.runtime.prediction.gate import OnlineGate

DRIFTS = (
    0.0002,
    0.01,
)  # share of the coefficients' prior that returns each reading: memories of 5,000 and 100
MEAN_RATES = np.array([0.01, 0.1, 0.4])[:, None]  # of the running means
DELTA_PRIOR, LEVEL_PRIOR = 0.1, 0.01  # variances of the coefficients around persistence
SCALE_FORGETTING = 0.998
LOSS_FORGETTING = 0.98
LOSS_WEIGHT = 0.25
MAX_LOSS = 64.0  # in units of the mixture's own loss
MAX_DEVIATIONS = 4.0  # a prediction is at most 4 usual deltas,
MAX_GROWTH = 2.0  # or twice the largest of the last ones
MAX_LEVEL = 64.0  # bound of a reading minus its mean, in usual deltas
MAX_VALUE = 1e60  # larger readings count as not finite: their fourth powers overflow
MIN_SQUARE = 1e-120
WARM_READINGS = 16
STATE_NAMES = (
    "count",
    "last",
    "mean",
    "means",
    "deltas",
    "energy",
    "mass",
    "regressors",
    "experts",
    "mixture",
    "losses",
    "loss_scale",
    "scale",
    "inverse",
    "change",
)

Index = np.ndarray | slice


class LinearSkip:
    """Online linear prediction of C channels, each at its own rate. Float64, vectorised over channels.

    order: readings in the autoregression, as order - 1 deltas and the level above the running mean.
     is_compiled: None uses numba where it is installed.
    """

    def __init__(self, num_channels: int, *, order: int = 8, is_compiled: bool | None = None) -> None:
        if num_channels < 1:
            raise InputError(f"num_channels is {num_channels}: give 1 or more")
        if order < 2:
            raise InputError(f"order is {order}: give 2 readings or more")
        num_experts = 1 + len(DRIFTS) + len(MEAN_RATES)
        self._filter = CoefficientFilter(
            num_channels, np.array([DELTA_PRIOR] * (order - 1) + [LEVEL_PRIOR]), DRIFTS
        )
        self._gate = OnlineGate(num_channels, is_compiled=is_compiled)
        self._count = np.zeros(num_channels)
        self._last = np.zeros(num_channels)
        self._mean = np.zeros(num_channels)
        self._means = np.zeros((len(MEAN_RATES), num_channels))
        self._deltas = np.zeros((order - 1, num_channels))  # newest first
        self._energy = np.zeros(num_channels)  # sum of delta^2, with forgetting
        self._mass = np.zeros(num_channels)  # sum of 1, with forgetting
        self._regressors = np.zeros((order, num_channels))
        self._experts = np.zeros((num_experts, num_channels))  # in usual deltas; row 0 is persistence
        self._mixture = np.zeros(num_channels)
        self._change = np.zeros(num_channels)
        self._loss_scale = np.ones(num_channels)  # running loss of the mixture
        self._scale = np.zeros(num_channels)  # the usual delta
        self._inverse = np.zeros(num_channels)  # 1 / the usual delta
        self._losses = np.zeros((num_experts, num_channels))
        self._kernel = self._compile() if (has_compiler() if is_compiled is None else is_compiled) else None

    def observe(self, channels: np.ndarray, values: np.ndarray) -> None:
        """A new reading of `channels` (k,) int, each at most once: score, learn, predict. Skips values that
        are not finite.
        """
        values = np.asarray(values, dtype=np.float64)
        is_usable = np.abs(values) <= MAX_VALUE
        if np.count_nonzero(is_usable) < len(values):
            channels, values = channels[is_usable], values[is_usable]
        if len(channels) == 0:
            return
        if self._kernel is not None:
            self._kernel(np.ascontiguousarray(channels, dtype=np.intp), np.ascontiguousarray(values))
            return
        own = _as_slice(channels)
        self._start(own, values)
        delta = values - self._last[own]
        self._learn(own, delta)
        self._store(own, values, delta)
        self._predict_next(own)

    def _compile(self) -> Callable[[np.ndarray, np.ndarray], None]:
        """`observe` as one compiled function on the same arrays; compiled now, not in the first tick."""
        from sage.runtime.prediction import skip_kernel

        rules = np.array([float(globals()[name]) for name in skip_kernel.RULES])
        names = (
            "count",
            "last",
            "mean",
            "means",
            "deltas",
            "energy",
            "mass",
            "regressors",
            "experts",
            "mixture",
        )
        arrays = [
            getattr(self, f"_{name}")
            for name in (*names, "losses", "loss_scale", "scale", "inverse", "change")
        ]
        kernel = partial(
            _call, skip_kernel.observe, (rules, MEAN_RATES, *arrays, *self._filter.arrays, *self._gate.arrays)
        )
        kernel(np.zeros(0, dtype=np.intp), np.zeros(0))
        return kernel

    @property
    def change(self) -> np.ndarray:
        """As `predict`, without a copy: the next reading changes it."""
        return self._change

    def predict(self) -> np.ndarray:
        """(C,) the next reading minus the last, of every channel, in its own unit."""
        return self._change.copy()

    def _start(self, own: Index, values: np.ndarray) -> None:
        is_first = self._count[own] == 0
        if is_first.any():
            for past in (self._last, self._mean):
                past[own] = np.where(is_first, values, past[own])
            self._means[:, own] = np.where(is_first, values, self._means[:, own])

    def _learn(self, own: Index, delta: np.ndarray) -> None:
        """Score the prediction of this reading, then update the mixture, the gate and the filters."""
        target = delta * self._inverse[own]
        mixture, count = self._mixture[own], self._count[own]
        rate = 1.0 / (count + WARM_READINGS)
        loss_scale = self._loss_scale[own]
        loss = np.minimum((target - self._experts[:, own]) ** 2, MAX_LOSS)
        self._losses[:, own] = LOSS_FORGETTING * self._losses[:, own] + LOSS_WEIGHT * loss / loss_scale
        own_loss = np.minimum((target - mixture) ** 2, MAX_LOSS)
        self._loss_scale[own] = np.maximum(
            loss_scale + (own_loss - loss_scale) * np.maximum(rate, 0.01), 1e-4
        )
        self._gate.update(own, delta, mixture * self._scale[own])
        self._filter.learn(own, self._regressors[:, own], target, rate)

    def _store(self, own: Index, values: np.ndarray, delta: np.ndarray) -> None:
        moved = self._count[own] > 0  # the first reading has no delta
        self._count[own] += 1.0
        self._energy[own] = SCALE_FORGETTING * self._energy[own] + delta * delta
        self._mass[own] = SCALE_FORGETTING * self._mass[own] + moved
        self._deltas[1:, own] = self._deltas[:-1, own]
        self._deltas[0, own] = delta
        share = 1.0 / self._count[own]
        self._mean[own] += (values - self._mean[own]) * np.maximum(share, 1e-4)
        self._means[:, own] += (values - self._means[:, own]) * np.maximum(share, MEAN_RATES)
        self._last[own] = values

    def _predict_next(self, own: Index) -> None:
        """Regressors, experts, mixture and change for the reading after this one."""
        scale, inverse = self._usual_delta(own)
        self._scale[own], self._inverse[own] = scale, inverse
        deltas, last = self._deltas[:, own] * inverse, self._last[own]
        level = np.minimum(np.maximum((last - self._mean[own]) * inverse, -MAX_LEVEL), MAX_LEVEL)
        regressors = np.concatenate([deltas, level[None]])
        bound = np.maximum(MAX_DEVIATIONS, MAX_GROWTH * np.abs(deltas).max(axis=0))
        experts = np.concatenate(
            [self._filter.predict(own, regressors), (self._means[:, own] - last) * inverse]
        )
        experts = np.minimum(np.maximum(experts, -bound), bound)
        losses = self._losses[:, own]
        belief = np.exp(losses.min(axis=0) - losses)
        mixture = (belief[1:] * experts).sum(axis=0) / belief.sum(axis=0)
        self._regressors[:, own], self._experts[1:, own], self._mixture[own] = regressors, experts, mixture
        proposal = mixture * scale
        self._change[own] = proposal * self._gate.weigh(proposal, own)

    def _usual_delta(self, own: Index) -> tuple[np.ndarray, np.ndarray]:
        """(k,) the usual delta and its inverse, both 0 for a channel that did not move for long."""
        square = self._energy[own] / np.maximum(self._mass[own], 1.0)
        is_moving = square > MIN_SQUARE
        scale = np.sqrt(np.where(is_moving, square, 0.0))
        return scale, np.where(is_moving, 1.0 / np.where(is_moving, scale, 1.0), 0.0)

    def state(self) -> dict[str, np.ndarray]:
        """The whole state, as arrays by name."""
        parts = {"filter": self._filter.state(), "gate": self._gate.state()}
        own = {name: getattr(self, f"_{name}").copy() for name in STATE_NAMES}
        return own | {
            f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()
        }

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        for name in STATE_NAMES:
            target = getattr(self, f"_{name}")
            if np.shape(state[name]) != target.shape:
                raise InputError(
                    f"{name} has shape {np.shape(state[name])}, not {target.shape}: load one of as many"
                    " channels and this order"
                )
            target[:] = state[name]
        self._filter.load_state({name: state[f"filter.{name}"] for name in self._filter.state()})
        self._gate.load_state({name: state[f"gate.{name}"] for name in self._gate.state()})


def _call(
    kernel: Callable[..., None], arrays: tuple[np.ndarray, ...], channels: np.ndarray, values: np.ndarray
) -> None:
    kernel(channels, values, *arrays)


def _as_slice(channels: np.ndarray) -> Index:
    """Consecutive channels as a slice, which needs no gather; others unchanged."""
    first, last = int(channels[0]), int(channels[-1])
    if last - first + 1 == len(channels) and (channels[1:] > channels[:-1]).all():
        return slice(first, last + 1)
    return channels
