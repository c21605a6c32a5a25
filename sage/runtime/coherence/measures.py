"""All figures of one window: each estimator with its null, as rows.

Signals of sources are projections of their states on their first principal component, of at most
`MAX_SIGNALS` sources with the highest trust that were present in `MIN_PRESENT` of the ticks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from sage.runtime.coherence import dimension, information, similarity, sources, synchrony, timescales
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.coherence.surrogates import NUM_SURROGATES, Null, null, phase_shuffled, rolled, shifted
from sage.runtime.coherence.window import Ticks

MAX_SIGNALS = 6
MIN_PRESENT = 0.95
#: Share of the tick rate: the band in which phases are compared.
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

    def _null(self, estimate: Callable[[], float]) -> Null:
        return null(estimate, self._num_surrogates)

    def _cross_error(self) -> Figure:
        """Its null is that of judged readings whose stated uncertainty is right: chi-squared per reading."""
        num = int(np.count_nonzero(~np.isnan(self._ticks.nis)))
        chance = Null(1.0, math.sqrt(2 / num), num) if num else NO_NULL
        return "pred.xerr", "sources", num, sources.cross_error(self._ticks.nis), chance

    def _agreement(self) -> Iterator[Figure]:
        ticks, generator = self._ticks, self._generator
        states, trust = ticks.states[:, self._sources], ticks.trust[self._sources]
        value, chance = math.nan, NO_NULL
        if len(self._sources) >= 2 and self._num >= 4:
            value = sources.agreement(states, trust)
            chance = self._null(lambda: sources.agreement(shifted(states, generator), trust))
        correctness = sources.skill(ticks.error, ticks.persistence)
        above = (value - chance.mean) / (1 - chance.mean) if chance.mean < 1 else math.nan
        yield "agreement", "sources", self._num, value, chance
        yield "correctness", "prediction", self._num, correctness, NO_NULL
        yield "coherence", "sources", self._num, sources.composite(above, correctness), NO_NULL

    def _levels(self) -> Iterator[Figure]:
        ticks, generator, num = self._ticks, self._generator, self._num
        alike = similarity.debiased_cka(ticks.high, ticks.low)
        chance = self._null(lambda: similarity.debiased_cka(ticks.high, rolled(ticks.low, generator)))
        yield "rep.cka", "z_H,z_L", num, alike, chance
        for name, states in (("z_H", ticks.high), ("z_L", ticks.low)):
            yield "dim.pr", name, num, dimension.participation_ratio(states), NO_NULL
            signal = first_component(states)
            yield "temporal.ac", name, num, timescales.autocorrelation_time(signal), NO_NULL
            yield self._complexity(name, signal)

    def _complexity(self, name: str, signal: np.ndarray) -> Figure:
        if self._num < 4 or not np.ptp(signal):
            return "cplx.lz", name, self._num, math.nan, NO_NULL
        chance = self._null(lambda: timescales.complexity(phase_shuffled(signal, self._generator)))
        return "cplx.lz", name, self._num, timescales.complexity(signal), chance

    def _signals(self) -> Iterator[Figure]:
        chosen = self._sources[:MAX_SIGNALS]
        signals = np.zeros((self._num, len(chosen)))
        for column, source in enumerate(chosen):
            signals[:, column] = first_component(self._ticks.states[:, source])
        moving = signals[:, np.ptp(signals, axis=0) > 0] if self._num else signals
        for metric, estimate in self._estimators():
            value, chance = math.nan, NO_NULL
            if moving.shape[1] >= 2 and self._num >= 8:
                value = estimate(moving)
                chance = self._null(self._of_shifted(estimate, moving))
            yield metric, "sources", self._num, value, chance

    def _of_shifted(
        self, estimate: Callable[[np.ndarray], float], signals: np.ndarray
    ) -> Callable[[], float]:
        return lambda: estimate(shifted(signals, self._generator))

    def _estimators(self) -> tuple[tuple[str, Callable[[np.ndarray], float]], ...]:
        rate = self._ticks.rate_hz
        band = (BAND[0] * rate, BAND[1] * rate)
        return (
            ("sync.r2u", lambda x: synchrony.order_squared(synchrony.phases(x, rate, band)[0])),
            ("sync.ppc", lambda x: synchrony.pairwise_consistency(synchrony.phases(x, rate, band)[0])),
            ("info.tc", information.total_correlation),
            ("info.o", information.o_information),
        )


def first_component(states: np.ndarray) -> np.ndarray:
    """(T,) projections of (T, D) on the direction of the largest variance; its largest entry is positive."""
    centered = states - states.mean(axis=0)
    if not centered.any():
        return np.zeros(len(states))
    direction = np.linalg.svd(centered, full_matrices=False)[2][0]
    projection: np.ndarray = centered.dot(direction * np.sign(direction[np.argmax(np.abs(direction))]))
    return projection
