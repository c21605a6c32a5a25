"""Which sources get full attention this tick (COGNITION.md, Scheduling), and why the others do not.

In this order: sources with a hard rate and sources that waited long, earliest deadline first; pinned sources;
the others by score or by deficit round robin. Invariant: a source that delivers in every tick waits at most
4 N / K + 1 ticks, whatever its score, its producer, and the rates of others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from sage.errors import InputError
from sage.runtime.config import AttentionConfig
from sage.runtime.scheduling.deadlines import NEVER, DeadlineServers
from sage.runtime.scheduling.deficit import DeficitRoundRobin
from sage.runtime.scheduling.skips import ATTENDED, BUDGET, CAP, HELD, NOT_DUE

#: Of the places, at most this share is for pinned sources.
PINNED_SHARE = 0.5


class Attention:
    """Chooses among N sources. waited: (N,) ticks since each was chosen.

    names: of the sources; "" for all where None.  min_rate_hz: of the ticks, the least one, in which hard
    rates must hold.  sizes: bytes of a reading of each source.  max_bytes: of all sources chosen in a tick; a
    tight limit makes sources wait longer.  always: (N,) bool, sources of events, each of whose readings is
    chosen; they take no place. Raises InputError where hard rates leave too little for the other sources, or
    a reading is larger than max_bytes.
    """

    def __init__(
        self,
        num_sources: int,
        config: AttentionConfig,
        *,
        names: Sequence[str] | None = None,
        min_rate_hz: float = 20.0,
        seed: int = 0,
        sizes: Sequence[int] | None = None,
        max_bytes: int | None = None,
        always: np.ndarray | None = None,
    ) -> None:
        self._config = config
        self._always = always if always is not None and always.any() else None
        self._num = num_sources
        self._sizes = np.array(sizes or [0] * num_sources, dtype=np.int64)
        self._max_bytes = max_bytes
        if max_bytes is not None and int(self._sizes.max()) > max_bytes:
            raise InputError(
                f"budget.bytes is {max_bytes}: a reading has {int(self._sizes.max())}: give at least as many"
            )
        self._places = config.top_k
        names = names or [""] * num_sources
        self.waited = np.zeros(num_sources, dtype=np.int64)
        self._was_chosen = np.zeros(num_sources, dtype=bool)
        self._tick = 0
        self._hard, periods = _hard_rates(names, config.rates_hz, min_rate_hz)
        self.servers = DeadlineServers([1] * len(periods), periods, capacity=config.top_k)
        self._deadlines = np.full(num_sources, NEVER)
        self.max_wait = int(4 * num_sources / config.top_k + 1)
        #: Ticks waited from which a source has a deadline.
        self.overdue = self._overdue_from()
        self._is_soft = np.ones(num_sources, dtype=bool)
        self._is_soft[self._hard] = False
        self._producers = _producers(names, config.producers)
        self._deficit = DeficitRoundRobin(num_sources)
        self._generator = np.random.default_rng([seed, 16])
        #: Periods of sources with a hard rate that ended without a place.
        self.num_missed = 0
        self._has_floor = config.policy in ("whittle", "top_k", "deficit")
        #: Why each source was not chosen, a code of `skips`, (N,) int8.
        self.skips = np.full(num_sources, NOT_DUE, dtype=np.int8)

    def _overdue_from(self) -> int:
        """Ticks waited from which a source has a deadline: 2 N / K, or fewer beside hard rates."""
        soft = self._num - len(self._hard)
        free = self._places * (1 - self.servers.utilisation)
        window = math.ceil(soft / free - 1e-9) if free > 0 else self.max_wait + 2
        if soft and window > self.max_wait + 1:
            raise InputError(
                f"attention.rates_hz uses {self.servers.utilisation:.2f} of top_k {self._places}, too much"
                f" beside {soft} other sources: give lower rates or a larger top_k"
            )
        return max(min(2 * math.ceil(self._num / self._places), self.max_wait + 1 - window), 0)

    def choose(
        self,
        score: np.ndarray,
        candidates: np.ndarray,
        *,
        pinned: np.ndarray | None = None,
        held: np.ndarray | None = None,
        value: np.ndarray | None = None,
    ) -> np.ndarray:
        """(N,) bool: at most top_k of the `candidates` (N,) bool, and those of `always`; the same order of
        calls, one a tick.

        score: (N,) >= 0.  pinned: (N,) bool, chosen before the others.  held: (N,) bool, chosen only when
        they waited long.  value: (N,) >= 0, of a reading, for the policy "deficit".
        """
        self._tick += 1
        free = candidates if self._always is None else candidates & ~self._always
        if self._has_floor:
            self._release(candidates)
        if held is not None and held.any():
            free = free & ~(held & (self._deadlines == NEVER))
        chosen = np.zeros(self._num, dtype=bool)
        is_capped = None
        if np.count_nonzero(free) <= self._places:
            chosen |= free
        else:
            is_capped = self._contend(score, free, chosen, pinned, value)
        if self._max_bytes is not None:
            self._limit_bytes(chosen, score)
        if self._always is not None:
            chosen |= candidates & self._always
        self._note(chosen, candidates, held, is_capped)
        return chosen

    def _contend(
        self,
        score: np.ndarray,
        free: np.ndarray,
        chosen: np.ndarray,
        pinned: np.ndarray | None,
        value: np.ndarray | None,
    ) -> np.ndarray | None:
        """Fill `chosen`, where more want a place than there are. Returns which were left out by the cap."""
        num_left = self._places
        urgent = np.flatnonzero(free & (self._deadlines != NEVER))
        if len(urgent):
            order = np.lexsort((-self.waited[urgent], self._deadlines[urgent]))[:num_left]
            chosen[urgent[order]] = True
            num_left -= len(order)
        if num_left and pinned is not None and pinned.any():
            wanted = np.flatnonzero(free & pinned & ~chosen)
            most = min(num_left, max(int(PINNED_SHARE * self._places), 1))
            chosen[wanted[np.argsort(-score[wanted], kind="stable")[:most]]] = True
            num_left = self._places - int(np.count_nonzero(chosen))
        if not num_left:
            return None
        rest = free & ~chosen
        if not self._config.max_per_producer:
            chosen[self._best(score, rest, num_left, value)] = True
            return None
        return self._capped(score, rest, chosen, value)

    def _limit_bytes(self, chosen: np.ndarray, score: np.ndarray) -> None:
        """Leave out sources that do not fit beside those with earlier deadlines and better scores."""
        found = np.flatnonzero(chosen)
        left = self._max_bytes or 0
        for index in found[np.lexsort((-score[found], self._deadlines[found]))].tolist():
            size = int(self._sizes[index])
            chosen[index] = size <= left
            left -= size if size <= left else 0

    def _capped(
        self, score: np.ndarray, rest: np.ndarray, chosen: np.ndarray, value: np.ndarray | None
    ) -> np.ndarray:
        """One source after the other, up to the cap of each producer. Returns those left out by it."""
        counts = np.bincount(self._producers[chosen], minlength=int(self._producers.max()) + 1)
        capped = np.zeros(self._num, dtype=bool)
        num_left = self._places - int(np.count_nonzero(chosen))
        while num_left and rest.any():
            index = int(self._best(score, rest, 1, value)[0])
            rest[index] = False
            producer = self._producers[index]
            if counts[producer] < self._config.max_per_producer:
                counts[producer] += 1
                chosen[index] = True
                num_left -= 1
                continue
            same = rest & (self._producers == producer)
            capped[index] = True
            capped |= same
            rest &= ~same
        return capped

    def _best(self, score: np.ndarray, rest: np.ndarray, num: int, value: np.ndarray | None) -> np.ndarray:
        """(num,) or fewer indices of the best of `rest`, by the policy."""
        policy = self._config.policy
        if policy == "deficit":
            return self._deficit.choose(score if value is None else score * value, rest, num)
        found = np.flatnonzero(rest)
        if policy == "random":
            return self._generator.permutation(found)[:num]
        if policy == "whittle":
            return found[np.lexsort((-self.waited[found], -score[found]))[:num]]
        if policy == "round_robin":
            return found[np.argsort(-self.waited[found], kind="stable")[:num]]
        if policy == "surprise":
            worth = score if value is None else value
            return found[np.argsort(-worth[found], kind="stable")[:num]]
        return self._ranked(score, rest, num)

    def _ranked(self, score: np.ndarray, rest: np.ndarray, num: int) -> np.ndarray:
        mean = float(score[rest].mean()) or 1.0
        rank = (
            score * (1 + self._config.hysteresis * self._was_chosen)
            + self._config.age_boost * mean * self.waited
        )
        rank[~rest] = -1.0
        order = np.lexsort((-self.waited, -rank))  # by rank, then by the time waited
        return order[: min(num, int(np.count_nonzero(rest)))]

    def _release(self, candidates: np.ndarray) -> None:
        """Give deadlines to the candidates that waited long, and to those with a hard rate."""
        starts = self.waited >= self.overdue
        if np.count_nonzero(starts):
            starts &= candidates & self._is_soft & (self._deadlines == NEVER)
            self._deadlines[starts] = self._tick + self.max_wait - self.overdue
        if len(self._hard):
            is_due = candidates[self._hard] & (self.servers.pending == 0)
            is_due &= self.servers.deadlines <= self._tick
            self.servers.arrive(is_due.astype(np.int64), self._tick)
            order = self.servers.order()
            self.num_missed += int(np.count_nonzero(order == self._tick))
            self._deadlines[self._hard] = np.where(order == NEVER, NEVER, order - 1)  # the last tick in time

    def _note(
        self,
        chosen: np.ndarray,
        candidates: np.ndarray,
        held: np.ndarray | None,
        is_capped: np.ndarray | None,
    ) -> None:
        self.waited = np.where(chosen, 0, self.waited + 1)
        self._was_chosen = chosen
        self._deadlines[chosen] = NEVER
        if len(self._hard):
            self.servers.pending[chosen[self._hard]] = 0  # the next place is due in the next period
        self.skips = np.where(candidates, np.int8(BUDGET), np.int8(NOT_DUE))
        self.skips[chosen] = ATTENDED
        if held is not None:
            self.skips[held & candidates & ~chosen] = HELD
        if is_capped is not None:
            self.skips[is_capped & ~chosen] = CAP


def _hard_rates(
    names: Sequence[str], rates_hz: Mapping[str, float], min_rate_hz: float
) -> tuple[np.ndarray, list[int]]:
    """The sources with a hard rate, and the period of each in ticks."""
    hard, periods = [], []
    for index, name in enumerate(names):
        rates = [rate for pattern, rate in rates_hz.items() if fnmatchcase(name, pattern)]
        if not rates:
            continue
        rate = max(rates)
        if not 0 < rate <= min_rate_hz:
            raise InputError(
                f"attention.rates_hz of {name} is {rate:g} Hz: give a rate above 0 and at most"
                f" {min_rate_hz:g} Hz, that of the slowest tick"
            )
        hard.append(index)
        periods.append(int(min_rate_hz / rate + 1e-9))
    return np.array(hard, dtype=np.intp), periods


def _producers(names: Sequence[str], declared: Mapping[str, Sequence[str]]) -> np.ndarray:
    """(N,) the number of each source's producer."""
    found: dict[str, int] = {}
    numbers = []
    for index, name in enumerate(names):
        producer = next(
            (
                f"={group}"
                for group, patterns in declared.items()
                if any(fnmatchcase(name, pattern) for pattern in patterns)
            ),
            name.split(".")[0] if name else str(index),
        )
        numbers.append(found.setdefault(producer, len(found)))
    return np.array(numbers, dtype=np.intp)
