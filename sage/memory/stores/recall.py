"""H-memory for retrieval: what followed similar situations, found by exact search.

A small store is searched by a product and a partition, a larger one by one compiled pass over its keys where
numba is installed, and, if wanted, one of INDEX_FROM entries or more by candidates of an index (hnswlib or
usearch), whose similarities are exact. Invariant: memory is allocated once; an entry is replaced only by one
that is worth more, or merged with a similar one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sage.compiled import has_compiler
from sage.errors import InputError
from sage.memory.stores.context_shares import ContextShares
from sage.memory.stores.key_index import NUM_CANDIDATES, KeyIndex, make_index
from sage.memory.stores.origins import UNKNOWN, Origin, Origins
from sage.memory.stores.state import StoreState
from sage.memory.stores.usefulness import Usefulness

#: Inverse temperature of the softmax read: a match with 0.05 more cosine has e times the weight.
SHARPNESS = 20.0
#: An entry of this age is worth half of an equally salient new one; hyperbolic, so that old salient ones
#: stay.
HALF_LIFE_SECS = 86_400.0
#: Numbers in the keys (entries x key_dim) from which a compiled pass is faster than numpy.
COMPILED_FROM = 1 << 18
#: Entries from which an index proposes candidates instead of a scan.
INDEX_FROM = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The answer to one query.

    slots: (k,) of the best matches.  cosines: (k,) float32.  reads: (k, value_dim + 1) float32, their values
    and, last, their trust at the time of the query.
    similarity: cosine of the best match, NaN without one.  age_ns: of the best match, -1 without one.
    queried_ns: time of the query since the run's start.  sequence: number of the query, from 1.
    """

    slots: np.ndarray
    cosines: np.ndarray
    reads: np.ndarray
    age_ns: int
    similarity: float
    queried_ns: int
    sequence: int

    @property
    def num_hits(self) -> int:
        """Matches read."""
        return len(self.slots)

    @property
    def value(self) -> np.ndarray:
        """(value_dim,) float32, softmax mean of the matches; NaN without one."""
        return self._mean()[:-1]

    @property
    def confidence(self) -> float:
        """The similarity clipped to 0..1, times the trust of the matches; 0 without one."""
        return min(max(self.similarity, 0.0), 1.0) * float(self._mean()[-1]) if self.num_hits else 0.0

    def _mean(self) -> np.ndarray:
        if not self.num_hits:
            return np.full(self.reads.shape[1], np.nan, np.float32)
        weights = np.exp(SHARPNESS * (self.cosines - self.similarity))
        mean: np.ndarray = weights.dot(self.reads) / weights.sum()
        return mean


class RecallStore:
    """At most `capacity` entries (key, value, salience, trust, time, hits, context).

    merge_similarity: a key with a higher cosine to an entry of its own context is merged into it.
    may_index: use an index from INDEX_FROM entries on, where a library for it is installed; its matches are
    approximate. It has each key from the first on, so that no query builds it; `restore` does, which takes
    seconds at 5e4 entries. InputError for sizes under 1.
    """

    def __init__(
        self,
        capacity: int,
        key_dim: int,
        value_dim: int,
        *,
        merge_similarity: float = 0.98,
        half_life_secs: float = HALF_LIFE_SECS,
        may_index: bool = False,
    ) -> None:
        if min(capacity, key_dim, value_dim) < 1:
            raise InputError(
                f"capacity is {capacity}, key_dim {key_dim}, value_dim {value_dim}: give each 1 or more"
            )
        self.capacity = capacity
        self.value_dim = value_dim
        self.num_queries = 0
        self._merge_similarity = merge_similarity
        self._half_life_ns = half_life_secs * 1e9
        self._keys = np.zeros((capacity, key_dim), np.float32)  # unit length
        self._reads = np.zeros(
            (capacity, value_dim + 1), np.float32
        )  # value, then trust: one softmax read gives both
        self._salience = np.zeros(capacity, np.float32)
        self._hits = np.zeros(capacity, np.int64)
        self._num_merged = np.zeros(capacity, np.int64)
        self._times_ns = np.zeros(capacity, np.int64)
        self._has_index = may_index and capacity >= INDEX_FROM
        self._index = self._new_index()
        self._stale: set[int] = set()  # slots written since the index was
        self._shares = ContextShares(capacity)
        self.origins = Origins(capacity)
        self.usefulness = Usefulness(capacity)
        self._last_recalled: Recalled | None = None
        if self._keys.size >= COMPILED_FROM and has_compiler():
            self._scan(self._keys[:1], np.zeros(key_dim, np.float32), 1)  # compiles now, not in a tick

    @property
    def last_recalled(self) -> Recalled | None:
        """The answer to the newest query, for a memory sensor; None before the first."""
        return self._last_recalled

    def __len__(self) -> int:
        return len(self._shares)

    @property
    def contexts(self) -> np.ndarray:
        """Context of each entry, a view."""
        return self._shares.contexts

    def write(
        self,
        key: np.ndarray,
        value: np.ndarray,
        *,
        salience: float,
        trust: float,
        time_ns: int,
        context: int,
        origin: Origin = UNKNOWN,
        scores: np.ndarray | None = None,
    ) -> bool:
        """Store key (key_dim,) and value (value_dim,), or merge them into a similar entry; False when
        rejected.

        salience, trust: 0..1.  time_ns: now, since the run's start.  scores: (5,) of salience, None where
        unknown.  A key or value that is not finite, or a key of length 0, is rejected.
        """
        unit = _unit(key)
        if unit is None or not np.isfinite(value).all():
            return False
        similar = self._similar_entry(unit, context)
        if similar is not None:
            self._merge(similar, unit, value, salience, trust, time_ns)
            self.origins.merge(similar, origin)
            self.usefulness.merge(similar, scores, 1.0 / float(self._num_merged[similar]))
            return True
        slot = self._slot_for(salience, time_ns, context)
        if slot is None:
            return False
        self._keys[slot] = unit
        self._reads[slot, :-1] = value
        self._reads[slot, -1] = trust
        self._salience[slot] = salience
        self._hits[slot] = 0
        self._num_merged[slot] = 1
        self._times_ns[slot] = time_ns
        self._shares.move(slot, context)
        self.origins.put(slot, origin)
        self.usefulness.put(slot, scores)
        self._note_key(slot)
        return True

    def recall(self, query: np.ndarray, *, time_ns: int, k: int = 8) -> Recalled:
        """Softmax read of the k best matches to query (key_dim,); counts as a hit of each.

        With an empty store, or a query of length 0, num_hits is 0.
        """
        self.num_queries += 1
        unit = _unit(query) if len(self) else None
        self._last_recalled = self._nothing(time_ns) if unit is None else self._read(unit, time_ns, k)
        return self._last_recalled

    def _read(self, unit: np.ndarray, time_ns: int, k: int) -> Recalled:
        best, matches = self.nearest(unit, k)  # (k,)
        top = int(matches.argmax())
        self._hits[best] += 1
        return Recalled(
            slots=best,
            cosines=matches,
            reads=self._reads[best],
            age_ns=max(time_ns - int(self._times_ns[best[top]]), 0),
            similarity=float(matches[top]),
            queried_ns=time_ns,
            sequence=self.num_queries,
        )

    def _nothing(self, time_ns: int) -> Recalled:
        return Recalled(
            slots=np.zeros(0, np.int64),
            cosines=np.zeros(0, np.float32),
            reads=self._reads[:0],
            age_ns=-1,
            similarity=float("nan"),
            queried_ns=time_ns,
            sequence=self.num_queries,
        )

    def nearest(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Slots (k,) and cosines (k,) of the entries nearest to unit (key_dim,) float32, in no order."""
        index = self._current_index()
        if index is not None:
            slots = index.candidates(unit, max(NUM_CANDIDATES, 2 * k))
            similarities = self._keys[slots].dot(unit)
            best = _largest(similarities, k)
            return slots[best], similarities[best]
        keys = self._keys[: len(self)]
        if keys.size >= COMPILED_FROM and has_compiler():
            return self._scan(keys, unit, k)
        similarities = keys.dot(unit)  # (n,)
        best = _largest(similarities, k)
        return best, similarities[best]

    @staticmethod
    def _scan(keys: np.ndarray, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        from sage.memory.stores.scan_kernel import scan

        found, products = np.empty(k, np.int64), np.empty(k, np.float32)
        num = scan(keys, unit, found, products)
        return found[:num], products[:num]

    def _current_index(self) -> KeyIndex | None:
        """The index with every key written so far; None below INDEX_FROM entries or without a library."""
        if self._index is not None and self._stale:
            slots = np.array(sorted(self._stale))
            self._index.put(slots, self._keys[slots])
            self._stale.clear()
        return self._index if len(self) >= INDEX_FROM else None

    def _new_index(self) -> KeyIndex | None:
        return make_index(self.capacity, self._keys.shape[1]) if self._has_index else None

    def _note_key(self, slot: int) -> None:
        if self._index is not None:
            self._stale.add(slot)

    def _similar_entry(self, unit: np.ndarray, context: int) -> int | None:
        if len(self) == 0:
            return None
        similarities = np.where(self.contexts == context, self._keys[: len(self)].dot(unit), -1.0)
        similar = int(similarities.argmax())
        return similar if similarities[similar] > self._merge_similarity else None

    def _merge(
        self, slot: int, unit: np.ndarray, value: np.ndarray, salience: float, trust: float, time_ns: int
    ) -> None:
        """Running means of key, value and trust; the higher salience; the newer time."""
        self._num_merged[slot] += 1
        step = 1.0 / float(self._num_merged[slot])
        mean_key = self._keys[slot] + step * (unit - self._keys[slot])
        self._keys[slot] = mean_key / np.linalg.norm(mean_key)
        self._note_key(slot)
        self._reads[slot, :-1] += step * (value - self._reads[slot, :-1])
        self._reads[slot, -1] += step * (trust - self._reads[slot, -1])
        self._salience[slot] = max(float(self._salience[slot]), salience)
        self._times_ns[slot] = max(int(self._times_ns[slot]), time_ns)

    def _slot_for(self, salience: float, time_ns: int, context: int) -> int | None:
        """A free slot, else a replaceable one of least worth, salience / (1 + age / half-life)."""
        if len(self) < self.capacity:
            return len(self)
        is_rival, must_yield = self._shares.rivals(context)
        age = np.maximum(time_ns - self._times_ns, 0) / self._half_life_ns
        worth = np.where(is_rival, self._salience / (1.0 + age), np.inf)
        slot = int(worth.argmin())
        return slot if must_yield or salience > worth[slot] else None

    @property
    def times_ns(self) -> np.ndarray:
        """Time of each entry, in ns since the run's start, a view."""
        return self._times_ns[: len(self)]

    def shift_times(self, by_ns: int) -> None:
        """Add `by_ns` to every time: a new run counts from its own start."""
        self._times_ns += by_ns
        self.origins.shift_times(by_ns)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "keys": self._keys,
            "reads": self._reads,
            "salience": self._salience,
            "hits": self._hits,
            "num_merged": self._num_merged,
            "times_ns": self._times_ns,
        }

    def state(self) -> StoreState:
        return StoreState(
            geometry={"capacity": self.capacity, "key_dim": self._keys.shape[1], "value_dim": self.value_dim},
            scalars={"num_queries": self.num_queries, **self.origins.newest()},
            arrays={
                "contexts": self.contexts,
                **{name: array[: len(self)] for name, array in self._arrays().items()},
                **self.origins.arrays(len(self)),
                **self.usefulness.arrays(len(self)),
            },
        )

    def restore(self, state: StoreState) -> None:
        self._shares.load(state.arrays["contexts"])
        self.num_queries = int(state.scalars["num_queries"])
        for name, array in self._arrays().items():
            array[: len(self)] = state.arrays[name]
        self._index, self._stale = self._new_index(), set(range(len(self)))
        self._current_index()  # before a tick waits for it
        self.origins.load(state.arrays, self.times_ns, state.scalars)
        self.usefulness.load(state.arrays, len(self))


def _largest(similarities: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest, in no order."""
    num = len(similarities)
    return np.arange(num) if k >= num else np.argpartition(similarities, num - k)[num - k :]


def _unit(vector: np.ndarray) -> np.ndarray | None:
    """The vector scaled to length 1, float32; None when it is zero or not finite."""
    given = np.asarray(vector, np.float32)
    length = math.sqrt(given.dot(given))
    return given / np.float32(length) if 0.0 < length < np.inf else None
