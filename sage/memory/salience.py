"""SNARC salience: how much a tick is worth remembering, per source and as one number.

Invariant: a rank compares a value with earlier values only; an undefined score is NaN and has no weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError

SCORES = ("surprise", "novelty", "arousal", "reward", "conflict")
#: Past values per source and score, and past gates for the threshold. Ranks are counted in bytes, eight at a
#: time, which is exact up to 8 * 127 values.
WINDOW = 256
#: A rank among fewer values than this is NaN; the gate stays closed with fewer past gates.
MIN_VALUES = 32
#: Slope of the sigmoid: a salience of 0.12 where all ranks are 0, 0.88 where all are 1.
STEEPNESS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SalienceScores:
    """One tick's appraisal of N sources; all arrays float32 in 0..1, NaN where undefined.

    ranks: (N, 5) of each of SCORES among the source's own last 256 values.
    salience: (N,) sigmoid of their weighted mean.  gate: the highest salience of the tick, NaN if none is
    defined.
    is_open: the gate is above the quantile of past gates that `write_rate` sets; False before `is_warm`.
    is_warm: there are 32 past gates.
    """

    ranks: np.ndarray
    salience: np.ndarray
    gate: float
    is_open: bool
    is_warm: bool

    def of(self, score: str) -> np.ndarray:
        """(N,) the ranks of one of SCORES."""
        return self.ranks[:, SCORES.index(score)]

    @property
    def gate_scores(self) -> np.ndarray:
        """(5,) the scores of the source with the highest salience, NaN without one."""
        if math.isnan(self.gate):
            return np.full(len(SCORES), np.nan)
        top: np.ndarray = self.ranks[(self.salience == self.gate).argmax()]
        return top


class Salience:
    """Running-quantile ranks of five scores for `num_sources` sources, and the write gate over them.

    write_rate: share of ticks that open the gate, 0..1.  weights: of the five scores in the order of SCORES,
    equal when None.  is_compiled: None uses numba where it is installed.  InputError for another rate, or
    weights that are not five numbers of 0 or more.
    """

    def __init__(
        self,
        num_sources: int,
        *,
        write_rate: float = 0.1,
        weights: tuple[float, ...] | None = None,
        is_compiled: bool | None = None,
    ) -> None:
        if not 0.0 < write_rate <= 1.0:
            raise InputError(f"write_rate is {write_rate}: give a share of ticks above 0, at most 1")
        self._weights = _normalised(weights)  # (5,)
        self._is_taught = weights is not None
        self._num_sources = num_sources
        self._write_rate = write_rate
        self._past = np.full((num_sources, len(SCORES), WINDOW), np.nan, np.float32)  # (N, 5, W)
        self._cell_starts = np.arange(0, self._past.size, WINDOW)  # (N * 5,)
        self._num_past = np.zeros(num_sources * len(SCORES), np.int64)  # (N * 5,)
        self._scale = self._count_scale()  # (N, 5)
        self._gates = np.full(WINDOW, np.nan, np.float32)
        self._num_gates = 0
        self._error = np.zeros(num_sources)
        self._kernel: Any = None
        if has_compiler() if is_compiled is None else is_compiled:
            from sage.memory import salience_kernel

            self._kernel = salience_kernel
            nothing = np.full(num_sources, np.nan)
            self._ranked(
                (nothing, nothing, nothing, nothing), 0.0, np.zeros(num_sources, bool)
            )  # compiles now, not in the first tick

    @property
    def num_missing(self) -> int:
        """Of the MIN_VALUES past gates from which the gate may open: those that are missing."""
        return max(MIN_VALUES - self._num_gates, 0)

    @property
    def taught_weights(self) -> tuple[float, ...]:
        """The weights that were given or learned, in the order of SCORES; empty while they are equal."""
        return tuple(self._weights.tolist()) if self._is_taught else ()

    def teach(self, weights: np.ndarray) -> None:
        """Use these weights from now on. InputError for weights that are not five numbers of 0 or more."""
        self._weights = _normalised(tuple(weights.tolist()))
        self._is_taught = True

    def state(self) -> dict[str, np.ndarray]:
        """The weights, for a snapshot; empty while they are equal. Past values are not part of it."""
        return {"weights": self._weights.copy()} if self._is_taught else {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the weights. An empty state changes nothing."""
        if state:
            self.teach(np.asarray(state["weights"]))

    def appraise(
        self,
        *,
        surprise: np.ndarray,
        novelty: np.ndarray,
        arousal: np.ndarray,
        reward_error: np.ndarray | float,
        conflict: np.ndarray,
        valid: np.ndarray,
    ) -> SalienceScores:
        """Rank this tick's raw values among the past ones, then store them.

        Raw values are (N,), in any monotone unit, NaN where unknown.  reward_error: prediction error of the
        reward, (N,) or one number; its sign is ignored.  valid: (N,) bool; other sources are neither ranked
        nor stored.
        """
        ranks = self._ranked((surprise, novelty, arousal, conflict), reward_error, valid)
        salience = self._weigh(ranks)
        gate = float(np.fmax.reduce(salience, initial=np.nan))
        is_open, is_warm = self._judge(gate)
        return SalienceScores(ranks=ranks, salience=salience, gate=gate, is_open=is_open, is_warm=is_warm)

    def _ranked(
        self, columns: tuple[np.ndarray, ...], reward_error: np.ndarray | float, valid: np.ndarray
    ) -> np.ndarray:
        """Ranks (N, 5) of the raw values, which are then stored. columns: without the reward error."""
        if self._kernel is not None:
            self._error[:] = reward_error
            given = tuple(np.ascontiguousarray(column, np.float64) for column in columns)
            ranks = np.empty((self._num_sources, len(SCORES)), np.float32)
            past, num_past, scale = self._past, self._num_past, self._scale
            valid = np.ascontiguousarray(valid, bool)
            self._kernel.rank(given, self._error, valid, MIN_VALUES, past, num_past, scale, ranks)
            return ranks
        surprise, novelty, arousal, conflict = columns
        values = np.empty((self._num_sources, len(SCORES)), np.float32)  # (N, 5)
        for column, score in enumerate((surprise, novelty, arousal, np.abs(reward_error), conflict)):
            values[:, column] = score
        values[np.logical_not(valid)] = np.nan
        ranks = self._ranks(values)
        self._store(values.reshape(-1))
        return ranks

    def _ranks(self, values: np.ndarray) -> np.ndarray:
        """Share of past values below each value, ties counted half: 0.5 for a constant. (N, 5) -> (N, 5)"""
        current = values[..., None]
        twice_below = (self._past < current).view(np.uint8)  # (N, 5, W)
        twice_below += (self._past <= current).view(np.uint8)
        # Eight byte counters in a word, each at most 2 W / 8 = 64: 4 times faster than a sum of bytes.
        lanes = np.add.reduce(twice_below.view(np.uint64), axis=-1, keepdims=True)  # (N, 5, 1)
        counts = np.add.reduce(lanes.view(np.uint8), axis=-1, dtype=np.uint16)
        ranks: np.ndarray = counts * self._scale
        ranks[np.isnan(values)] = np.nan
        return ranks

    def _store(self, values: np.ndarray) -> None:
        """Write each defined value to the ring of its source and score. (N * 5,)"""
        cells = np.flatnonzero(values == values)  # NaN is not equal to itself
        num_past = self._num_past[cells]
        self._past.reshape(-1)[self._cell_starts[cells] + num_past % WINDOW] = values[cells]
        self._num_past[cells] = num_past + 1
        if num_past.size and num_past.min() < WINDOW:
            self._scale = self._count_scale()

    def _count_scale(self) -> np.ndarray:
        """Factor from twice a count to a rank: 1 / (2 n), NaN while n is too small. (N, 5)"""
        num_past = np.minimum(self._num_past, WINDOW).reshape(self._num_sources, len(SCORES))
        scale: np.ndarray = np.where(num_past < MIN_VALUES, np.nan, 0.5 / np.maximum(num_past, 1)).astype(
            np.float32
        )
        return scale

    def _weigh(self, ranks: np.ndarray) -> np.ndarray:
        """Sigmoid of the weighted mean over the defined ranks. (N, 5) -> (N,)"""
        total = np.add.reduce((ranks == ranks) * self._weights, axis=1)
        total[total == 0.0] = np.nan
        # Not np.dot: BLAS may compute on what lies beside such short rows, and warn of it.
        salience: np.ndarray = np.add.reduce(np.fmax(ranks, np.float32(0.0)) * self._weights, axis=1)
        salience /= total
        salience -= 0.5
        salience *= 0.5 * STEEPNESS
        np.tanh(salience, out=salience)  # of half the argument: the sigmoid
        salience *= 0.5
        salience += 0.5
        return salience

    def _judge(self, gate: float) -> tuple[bool, bool]:
        """Open when fewer than `write_rate` of the past gates are at or above this one; NaN never opens."""
        num_past = min(self._num_gates, WINDOW)
        is_warm = num_past >= MIN_VALUES
        if np.isnan(gate):
            return False, is_warm
        num_at_or_above = int(np.count_nonzero(self._gates[:num_past] >= gate))
        self._gates[self._num_gates % WINDOW] = gate
        self._num_gates += 1
        return is_warm and num_at_or_above < self._write_rate * num_past, is_warm


def _normalised(weights: tuple[float, ...] | None) -> np.ndarray:
    given = np.ones(len(SCORES), np.float32) if weights is None else np.asarray(weights, np.float32)
    if given.shape != (len(SCORES),) or not (given >= 0).all() or given.sum() == 0:
        raise InputError(
            f"weights is {weights}: give {len(SCORES)} numbers of 0 or more, for {', '.join(SCORES)}"
        )
    normalised: np.ndarray = given / given.sum()
    return normalised
