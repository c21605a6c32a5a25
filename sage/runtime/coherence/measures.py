"""All figures of one window: each estimator with its null, as rows.

Signals of sources are projections of their states on their first principal component, of at most
`MAX_SIGNALS` sources with the highest trust that were present in `MIN_PRESENT` of the ticks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sage.runtime.coherence import dimension, information, similarity, sources, synchrony, timescales
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.coherence.surrogates import (
    NUM_SURROGATES,
    LagTable,
    Null,
    draw_lags,
    null_of,
    phase_shuffled,
)
from sage.runtime.coherence.window import Ticks

MAX_SIGNALS = 6
MIN_PRESENT = 0.95
#: Share of the rate of the window's ticks: the band in which phases are compared.
BAND = (0.02, 0.25)
NO_NULL = Null(math.nan, math.nan, 0)


def measure(ticks: Ticks, *, num_surrogates: int = NUM_SURROGATES, seed: int = 0) -> tuple[CoherenceRow, ...]:
    """The rows of one window. Equal input and seed give equal rows."""
    generator = np.random.default_rng([seed, ticks.tick])
    window = _Window(ticks, generator, num_surrogates)
    return tuple(
        CoherenceRow(
            metric=metric,
            modules=modules,
            tick=ticks.tick,
            time_ns=ticks.time_ns,
            num=num,
            value=value,
            null_mean=chance.mean,
            null_std=chance.std,
            z=chance.z(value),
        )
        for metric, modules, num, value, chance in window.figures()
    )


Figure = tuple[str, str, int, float, Null]


class _Window:
    def __init__(self, ticks: Ticks, generator: np.random.Generator, num_surrogates: int) -> None:
        self._ticks = ticks
        self._generator = generator
        self._num_surrogates = num_surrogates
        always = np.flatnonzero((ticks.present.mean(axis=0) >= MIN_PRESENT) & (ticks.trust > 0))
        self._sources = always[np.argsort(-ticks.trust[always], kind="stable")]
        self._num = len(ticks.present)

    def figures(self) -> Iterator[Figure]:
        yield self._cross_error()
        yield from self._agreement()
        yield from self._levels()
        yield from self._signals()

    def _lags(self, num_signals: int) -> np.ndarray:
        return draw_lags(self._generator, self._num_surrogates, num_signals, self._num)

    def _cross_error(self) -> Figure:
        """Its null is that of judged readings whose stated uncertainty is right: chi-squared per reading."""
        nis = self._ticks.nis
        num = int(np.count_nonzero(~np.isnan(nis)))
        deviation = sources.cross_error_deviation(nis, self._ticks.dims)
        chance = Null(1.0, deviation, num) if num else NO_NULL
        return "pred.xerr", "sources", num, sources.cross_error(nis), chance

    def _agreement(self) -> Iterator[Figure]:
        ticks = self._ticks
        states, trust = ticks.states[:, self._sources], ticks.trust[self._sources]
        value, chance = math.nan, NO_NULL
        if len(self._sources) >= 2 and self._num >= 4:
            table = LagTable(sources.directions(states))
            lags = self._lags(len(self._sources))
            value = float(sources.weighted_agreement(table.at(np.zeros_like(lags[:1])).real, trust)[0])
            chance = null_of(sources.weighted_agreement(table.at(lags).real, trust))
        correctness = sources.skill(ticks.error, ticks.persistence)
        above = (value - chance.mean) / (1 - chance.mean) if chance.mean < 1 else math.nan
        yield "agreement", "sources", self._num, value, chance
        yield "correctness", "prediction", self._num, correctness, NO_NULL
        yield "coherence", "sources", self._num, sources.composite(above, correctness), NO_NULL

    def _levels(self) -> Iterator[Figure]:
        ticks, num = self._ticks, self._num
        lags = self._lags(2)[:, 1]
        chance = null_of(similarity.cka_at_lags(ticks.high, ticks.low, lags))
        yield "rep.cka", "z_H,z_L", num, similarity.debiased_cka(ticks.high, ticks.low), chance
        for name, states in (("z_H", ticks.high), ("z_L", ticks.low)):
            yield "dim.pr", name, num, dimension.participation_ratio(states), NO_NULL
            signal = first_component(states)
            time_ticks = ticks.every_ticks * timescales.autocorrelation_time(signal)
            yield "temporal.ac", name, num, time_ticks, NO_NULL
            yield self._complexity(name, signal)

    def _complexity(self, name: str, signal: np.ndarray) -> Figure:
        if self._num < 4 or not np.ptp(signal):
            return "cplx.lz", name, self._num, math.nan, NO_NULL
        shuffled = phase_shuffled(signal, self._generator, self._num_surrogates)
        chance = null_of(np.array([timescales.complexity(each) for each in shuffled]))
        return "cplx.lz", name, self._num, timescales.complexity(signal), chance

    def _signals(self) -> Iterator[Figure]:
        chosen = self._sources[:MAX_SIGNALS]
        signals = np.zeros((self._num, len(chosen)))
        for column, source in enumerate(chosen):
            signals[:, column] = first_component(self._ticks.states[:, source])
        moving = signals[:, np.ptp(signals, axis=0) > 0] if self._num else signals
        if moving.shape[1] < 2 or self._num < 8:
            for metric in ("sync.r2u", "sync.ppc", "info.tc", "info.o"):
                yield metric, "sources", self._num, math.nan, NO_NULL
            return
        yield from self._synchrony(moving)
        yield from self._information(moving)

    def _synchrony(self, signals: np.ndarray) -> Iterator[Figure]:
        """Shifting a signal shifts its phases, so that one table serves every surrogate."""
        rate, num = self._ticks.rate_hz, self._num
        angles, _ = synchrony.phases(signals, rate, (BAND[0] * rate, BAND[1] * rate))
        lags = self._lags(signals.shape[1])
        locking = LagTable(np.exp(1j * angles)).at(lags)
        yield (
            "sync.r2u",
            "sources",
            num,
            synchrony.order_squared(angles),
            null_of(synchrony.order_of(locking)),
        )
        chance = null_of(synchrony.consistency_of(locking, num))
        yield "sync.ppc", "sources", num, synchrony.pairwise_consistency(angles), chance

    def _information(self, signals: np.ndarray) -> Iterator[Figure]:
        """Shifting a signal shifts its ranks."""
        scores, num = information.normal_scores(signals), self._num
        lags = self._lags(signals.shape[1])
        standard = (scores - scores.mean(axis=0)) / scores.std(axis=0)
        correlation = LagTable(standard).at(lags).real
        chance = null_of(information.total_correlation_of(correlation, num))
        yield "info.tc", "sources", num, information.total_correlation(signals), chance
        chance = null_of(information.o_information_of(correlation, num))
        yield "info.o", "sources", num, information.o_information(signals), chance


def first_component(states: np.ndarray) -> np.ndarray:
    """(T,) projections of (T, D) on the direction of the largest variance; its largest entry is positive."""
    centered = states - states.mean(axis=0)
    if not centered.any():
        return np.zeros(len(states))
    direction = np.linalg.eigh(centered.T.dot(centered))[1][:, -1]
    projection: np.ndarray = centered.dot(direction * np.sign(direction[np.argmax(np.abs(direction))]))
    return projection
