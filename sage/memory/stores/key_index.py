"""An approximate index of keys for stores too large to scan: hnswlib or usearch, where installed.

Invariant: it only proposes candidates; their similarities are computed exactly in float32, so that a match
that is returned has its true value. It is rebuilt from the keys, and saved nowhere.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

#: A query reads this many candidates, or twice the matches wanted, and rescores them.
NUM_CANDIDATES = 32
_LINKS, _BUILD_EFFORT, _QUERY_EFFORT = 16, 100, 64


class KeyIndex(Protocol):
    """Slots by the nearest keys."""

    def put(self, slots: np.ndarray, keys: np.ndarray) -> None:
        """Add keys (n, d) of slots (n,), or replace those that are there."""
        ...

    def candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        """About k slots whose keys have the largest products with query (d,), in no order."""
        ...


def has_index_library() -> bool:
    return any(find_spec(library) is not None for library in ("hnswlib", "usearch"))


def make_index(capacity: int, key_dim: int) -> KeyIndex | None:
    """An index for up to `capacity` keys of unit length; None where neither library is installed."""
    for library, make in (("hnswlib", HnswIndex), ("usearch", UsearchIndex)):
        if find_spec(library) is not None:
            return make(capacity, key_dim)
    return None


class HnswIndex:
    """hnswlib: a hierarchical graph (Malkov and Yashunin 2018)."""

    def __init__(self, capacity: int, key_dim: int) -> None:
        library = importlib.import_module("hnswlib")
        self._index: Any = library.Index(space="ip", dim=key_dim)
        self._index.init_index(max_elements=capacity, M=_LINKS, ef_construction=_BUILD_EFFORT)
        self._index.set_ef(_QUERY_EFFORT)
        self._index.set_num_threads(1)

    def put(self, slots: np.ndarray, keys: np.ndarray) -> None:
        self._index.add_items(keys, slots)

    def candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        labels, _ = self._index.knn_query(query[None], min(k, self._index.element_count))
        found: np.ndarray = labels[0].astype(np.int64)
        return found


class UsearchIndex:
    """usearch: the same graph in another implementation."""

    def __init__(self, capacity: int, key_dim: int) -> None:
        library = importlib.import_module("usearch.index")
        self._index: Any = library.Index(
            ndim=key_dim,
            metric="ip",
            dtype="f32",
            connectivity=_LINKS,
            expansion_add=_BUILD_EFFORT,
            expansion_search=_QUERY_EFFORT,
        )

    def put(self, slots: np.ndarray, keys: np.ndarray) -> None:
        there = slots[np.asarray(self._index.contains(slots.astype(np.uint64)))]
        if there.size:
            self._index.remove(there.astype(np.uint64))
        self._index.add(slots.astype(np.uint64), keys, threads=1)

    def candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        found: np.ndarray = self._index.search(query, k, threads=1).keys.astype(np.int64)
        return found
