"""Prediction of every source's next reading: last reading + linear skip + gate x model.

The linear skip uses the channel's own past and, weighted by past gain, the last changes of other sources. A
prediction is valid until the next reading of its source. Errors are in the reading's own unit over its
running variance, not in a learned space. Invariant: a reading is predicted, then scored, then learned from,
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.compiled import has_compiler
from sage.runtime.channels.layout import Layout
from sage.runtime.prediction.gate import OnlineGate
from sage.runtime.prediction.linear_skip import LinearSkip
from sage.runtime.prediction.scale import RunningScale
from sage.runtime.prediction.wide_skip import WideSkip

CLIP = 10.0  # bound of standardised inputs, in deviations
MIN_READINGS = 16  # readings before a channel's errors are scored, for its variance


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionScored:
    """One reading and its prediction, in raw units, for benchmarks. Arrays are (d,) copies."""

    source: str
    captured_ns: int
    horizon_ns: int
    actual: np.ndarray
    last: np.ndarray
    predicted: np.ndarray
    skip: np.ndarray
    scale: np.ndarray


ScoredListener = Callable[[PredictionScored], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """(N,) mean squared errors per scored channel in training variance, NaN where nothing is scored.

    is_repeat: (N,) bool, the reading equals the one before and is not at an end of its range.
    """

    error: np.ndarray
    skip_error: np.ndarray
    persistence_error: np.ndarray
    is_repeat: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The readings of a tick in which some are not believed. fresh, is_replaced, is_repeat: (N,) bool.
    values, before: (C,) these readings and those before, raw.
    """

    fresh: np.ndarray
    is_replaced: np.ndarray
    is_repeat: np.ndarray
    values: np.ndarray
    before: np.ndarray


class Predictor:
    """The flat state of all sources (C channels) and the current predictions.

    is_compiled: None uses numba where it is installed.
    """

    def __init__(
        self,
        layout: Layout,
        on_scored: ScoredListener | None = None,
        *,
        is_compiled: bool | None = None,
    ) -> None:
        size = layout.num_channels
        self.layout = layout
        self._on_scored = on_scored
        self.skip_model = LinearSkip(size, is_compiled=is_compiled)
        self.wide = WideSkip(layout.is_witness[layout.source_of_channel], is_compiled=is_compiled)
        self.scale = RunningScale(size)
        self.gate = OnlineGate(size, is_compiled=is_compiled)
        self.last = np.zeros(size)
        self.delta = np.zeros(size)
        self._own_skip = np.zeros(size)  # predicted change from the channel's own past
        self.skip = np.zeros(size)  # predicted change by all of the linear part
        self.proposal = np.zeros(size)  # the model's correction, raw units, before the gate
        self.correction = np.zeros(size)  # the part of it that the gate lets through
        self._is_held = self._nothing = np.zeros(size, dtype=bool)  # predicted by `hold`
        self.captured_ns = np.full(layout.num_sources, -1, dtype=np.int64)
        self.num_readings = np.zeros(layout.num_sources, dtype=np.int64)
        self._has_changed = np.zeros(size, dtype=bool)
        self._low = np.full(size, np.inf)  # the range so far
        self._high = np.full(size, -np.inf)
        self.frozen_mean = np.zeros(size)
        self.frozen_std = np.ones(size)
        self._kernel: Any = None
        if has_compiler() if is_compiled is None else is_compiled:
            self._compile()

    @property
    def prediction(self) -> np.ndarray:
        """(C,) the next reading of every channel, raw units."""
        return self.last + self.skip + self.correction

    def meet(
        self, fresh: np.ndarray, values: np.ndarray, captured_ns: np.ndarray, raw: Raw | None = None
    ) -> Scores:
        """Score and learn from the new readings. fresh (N,) bool; values (C,) where fresh; captured_ns
        (N,).  raw: the readings themselves where they are not believed; they are scored, not learned from.
        """
        if raw is not None:
            return self._meet_raw(fresh, values, captured_ns, raw)
        return self._meet(fresh, values, captured_ns, self._on_scored)

    def _meet(
        self,
        fresh: np.ndarray,
        values: np.ndarray,
        captured_ns: np.ndarray,
        on_scored: ScoredListener | None,
    ) -> Scores:
        if self._kernel is not None:
            return self._meet_compiled(fresh, values, captured_ns, on_scored)
        channels = np.flatnonzero(fresh[self.layout.source_of_channel])
        actual = values[channels]
        change = actual - self.last[channels]
        residual = change - self.skip[channels]
        error = residual - self.correction[channels]
        self.scale.update(channels, actual)
        known = self.num_readings[self.layout.source_of_channel[channels]]
        self._has_changed[channels] |= (change != 0) & (known > 0)
        self._low[channels], self._high[channels] = (
            np.minimum(self._low[channels], actual),
            np.maximum(self._high[channels], actual),
        )
        scores = self._score(fresh, channels, known, error, residual, change)
        if on_scored is not None:
            self._report(fresh, values, captured_ns, self.last, on_scored)
        met = known > 0
        self.gate.update(channels[met], residual[met], self.proposal[channels[met]])
        self.wide.learn(channels[met], (change - self._own_skip[channels])[met], change[met])
        self.skip_model.observe(channels, actual)
        self.delta[channels] = np.where(met, change, 0.0)
        self.last[channels] = actual
        self._own_skip[channels] = self.skip_model.predict()[channels]
        self._update_skip()
        self.captured_ns = np.where(fresh, captured_ns, self.captured_ns)
        self.num_readings += fresh
        return scores

    def _compile(self) -> None:
        """The compiled module and its work arrays; compiled now, not in the first tick: a call without a new
        reading changes nothing.
        """
        from sage.runtime.prediction import meet_kernel

        size, num = self.layout.num_channels, self.layout.num_sources
        self._kernel = meet_kernel
        self._table = np.zeros((meet_kernel.NUM_SUMS, size))
        self._channels = np.zeros(size, dtype=np.intp)
        self._given = np.zeros((2, size))
        self._met = np.zeros(size, dtype=np.intp)
        self._left = np.zeros((2, size))
        self._level = np.zeros(size)
        self._meet_compiled(np.zeros(num, dtype=bool), np.zeros(size), self.captured_ns, None)
        self.standardised()

    def _meet_raw(self, fresh: np.ndarray, values: np.ndarray, captured_ns: np.ndarray, raw: Raw) -> Scores:
        """As `meet`: the sources of `raw.is_replaced` are scored by their readings, in the scale so far."""
        if self._on_scored is not None:
            self._report(raw.fresh, raw.values, captured_ns, raw.before, self._on_scored)
        own = raw.fresh & raw.is_replaced
        variance = self.scale.std**2
        is_scored = self._has_changed & (variance > 0) & own[self.layout.source_of_channel]
        error = np.stack([self.prediction, self.last + self.skip, raw.before]) - raw.values
        sums = np.zeros((4, len(variance)))
        sums[:3, is_scored] = error[:, is_scored] ** 2 / variance[is_scored]
        sums[3] = is_scored
        totals = np.add.reduceat(sums, self.layout.offsets[:-1], axis=1)
        scores = self._meet(fresh, values, captured_ns, None)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(totals[3] > 0, totals[:3] / totals[3], np.nan)
        late = own & ~fresh
        self.captured_ns[late] = captured_ns[late]
        return Scores(
            error=np.where(own, means[0], scores.error),
            skip_error=np.where(own, means[1], scores.skip_error),
            persistence_error=np.where(own, means[2], scores.persistence_error),
            is_repeat=np.where(own, raw.is_repeat, scores.is_repeat),
        )

    def release(self) -> None:
        """End `hold`."""
        self._is_held = self._nothing

    def hold(self, channels: np.ndarray, values: np.ndarray) -> None:
        """Predict `values` (C,) for `channels` (C,) bool, without a change or a correction, until the next
        call.
        """
        self._is_held = channels
        for part in (self.skip, self._own_skip, self.correction, self.delta):
            part[channels] = 0.0
        self.last[channels] = values[channels]

    def _meet_compiled(
        self,
        fresh: np.ndarray,
        values: np.ndarray,
        captured_ns: np.ndarray,
        on_scored: ScoredListener | None,
    ) -> Scores:
        layout, source_of = self.layout, self.layout.source_of_channel
        num_given, num_met = self._kernel.score(
            fresh, values, source_of, MIN_READINGS, self.num_readings, self.last, self.skip, self._own_skip,
            self.correction, self.proposal, self._has_changed, self._low, self._high, *self.scale.arrays,
            *self.gate.arrays, self._table, self._channels, self._given, self._met, self._left,
        )  # fmt: skip
        if on_scored is not None:
            self._report(fresh, values, captured_ns, self.last, on_scored)
        channels, given = self._channels[:num_given], self._given
        self.wide.learn(self._met[:num_met], self._left[0, :num_met], self._left[1, :num_met])
        self.skip_model.observe(channels, given[0, :num_given])
        self._kernel.store(
            channels, given, self.num_readings, source_of, self.skip_model.change, self._has_changed,
            *self.scale.arrays, self.last, self.delta, self._own_skip, self._level,
        )  # fmt: skip
        self.wide.look(self.delta, self._level)
        self.skip = self._own_skip + self.wide.predict()
        totals = np.add.reduceat(self._table, layout.offsets[:-1], axis=1)  # (NUM_SUMS, N)
        means, is_repeat = np.empty((3, layout.num_sources)), np.empty(layout.num_sources, dtype=bool)
        self._kernel.count(fresh, totals, captured_ns, self.captured_ns, self.num_readings, means, is_repeat)
        return Scores(error=means[0], skip_error=means[1], persistence_error=means[2], is_repeat=is_repeat)

    def _update_skip(self) -> None:
        """Update the linear part of all channels with the newest readings of the other sources."""
        level = np.where(self._has_changed, (self.last - self.scale.mean) / self.scale.std, 0.0)
        self.wide.look(self.delta, level)
        self.skip = self._own_skip + self.wide.predict()

    def propose(self, correction: np.ndarray) -> None:
        """Set the model's correction (C,), standardised by the frozen scale, until the next call."""
        self.proposal = correction * self.frozen_std
        self.correction = self.gate.weigh(self.proposal) * self.proposal
        if self._is_held is not self._nothing:
            self.correction[self._is_held] = 0.0

    def freeze_scale(self) -> None:
        """Use the current mean and deviation to standardise until the next call."""
        std = self.scale.std
        self.frozen_mean = self.scale.mean.copy()
        self.frozen_std = np.where(self._has_changed & (std > 0), std, 1.0)

    def standardised(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(C,) values, deltas and skip for the model, clipped; 0 before a source's first reading."""
        if self._kernel is not None:
            out = np.empty((3, self.layout.num_channels))
            self._kernel.standardise(
                self.layout.source_of_channel, self.num_readings, self.last, self.delta, self.skip,
                self.frozen_mean, self.frozen_std, CLIP, out,
            )  # fmt: skip
            return out[0], out[1], out[2]
        seen = (self.num_readings > 0)[self.layout.source_of_channel]
        std = self.frozen_std
        values = np.where(seen, (self.last - self.frozen_mean) / std, 0.0)
        return (
            np.clip(values, -CLIP, CLIP),
            np.clip(self.delta / std, -CLIP, CLIP),
            np.clip(self.skip / std, -CLIP, CLIP),
        )

    def _score(
        self,
        fresh: np.ndarray,
        channels: np.ndarray,
        known: np.ndarray,
        error: np.ndarray,
        residual: np.ndarray,
        change: np.ndarray,
    ) -> Scores:
        size, num_sources = self.layout.num_channels, self.layout.num_sources
        variance = self.scale.std[channels] ** 2
        is_scored = (known >= MIN_READINGS) & self._has_changed[channels] & (variance > 0)
        table = np.zeros((4, size))
        scored = channels[is_scored]
        table[:, scored] = (
            np.stack([error**2, residual**2, change**2, variance])[:, is_scored] / variance[is_scored]
        )
        sums = np.add.reduceat(
            table, self.layout.offsets[:-1], axis=1
        )  # (4, N); the last row counts channels
        with np.errstate(invalid="ignore"):
            means = np.where(sums[3] > 0, sums[:3] / sums[3], np.nan)
        moved = np.zeros(size)
        moved[channels] = change != 0
        off_rail = np.zeros(size)
        off_rail[channels] = (
            self._has_changed[channels]
            & (self._low[channels] < self.last[channels])
            & (self.last[channels] < self._high[channels])
        )
        is_still = fresh & (self.num_readings > 0) & (self.layout.per_source(moved) == 0)
        is_repeat = is_still & (
            self.layout.per_source(off_rail) > 0
        )  # a reading at the end of its range may repeat
        return Scores(
            error=means[0], skip_error=means[1], persistence_error=means[2], is_repeat=is_repeat[:num_sources]
        )

    def _report(
        self,
        fresh: np.ndarray,
        values: np.ndarray,
        captured_ns: np.ndarray,
        before: np.ndarray,
        listener: ScoredListener,
    ) -> None:
        prediction, offsets = self.prediction, self.layout.offsets
        for source in np.flatnonzero(fresh & (self.num_readings > 0)):
            own = slice(offsets[source], offsets[source + 1])
            listener(
                PredictionScored(
                    source=self.layout.specs[source].name,
                    captured_ns=int(captured_ns[source]),
                    horizon_ns=int(captured_ns[source] - self.captured_ns[source]),
                    actual=values[own].copy(),
                    last=before[own].copy(),
                    predicted=prediction[own].copy(),
                    skip=(self.last + self.skip)[own].copy(),
                    scale=self.scale.std[own].copy(),
                )
            )

    def state(self) -> dict[str, np.ndarray]:
        """The learned state, without the last readings."""
        parts = {
            "skip": self.skip_model.state(),
            "wide": self.wide.state(),
            "scale": self.scale.state(),
            "gate": self.gate.state(),
        }
        flat = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return flat | {
            "frozen_mean": self.frozen_mean,
            "frozen_std": self.frozen_std,
            "has_changed": self._has_changed,
            "low": self._low,
            "high": self._high,
        }

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        learners = (
            ("skip", self.skip_model),
            ("wide", self.wide),
            ("scale", self.scale),
            ("gate", self.gate),
        )
        for part, target in learners:
            prefix = f"{part}."
            target.load_state(
                {name[len(prefix) :]: array for name, array in state.items() if name.startswith(prefix)}
            )
        self.frozen_mean = state["frozen_mean"].copy()
        self.frozen_std = state["frozen_std"].copy()
        self._has_changed = state["has_changed"].astype(bool)
        self._low = state["low"].copy()
        self._high = state["high"].copy()
