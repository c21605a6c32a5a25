"""Recall and its peers: exact search, approximate search, the write of a slot, what stays in a full store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.hrm_core.observation.fields import BOOL_FIELDS, field_sizes
from sage.memory.stores import recall as recall_module
from sage.memory.stores.recall import RecallStore
from sage.memory.windows.transitions import Frame, TransitionRing

KEY_DIM, VALUE_DIM, TOP = 256, 16, 10
SEED = 0
#: Of a row of L-memory: 16 sources of 4 channels, and a carry of 17 tokens.
CHANNELS, SOURCES, ACTIONS, CARRY_SHAPE = 64, 16, 4, (17, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One method over `num` keys. query_us: median CPU time of one query, None when it is not installed.
    recall: share of the 10 nearest that it finds.
    """

    method: str
    num: int
    query_us: float | None
    recall: float | None
    build_secs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """keys (num, KEY_DIM) and queries (q, KEY_DIM) of unit length: clusters with noise, as similar situations
    are. nearest (q, TOP): the truth in float64.
    """

    keys: np.ndarray
    queries: np.ndarray
    nearest: np.ndarray


def make_keys(num: int, num_queries: int) -> Keys:
    generator = np.random.default_rng(SEED)
    centres = generator.standard_normal((max(num // 50, 1), KEY_DIM))

    def drawn(count: int) -> np.ndarray:
        found = centres[generator.integers(len(centres), size=count)]
        found = found + 0.7 * generator.standard_normal((count, KEY_DIM))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    keys, queries = drawn(num), drawn(num_queries)
    products = queries.astype(np.float64) @ keys.T.astype(np.float64)
    return Keys(keys=keys, queries=queries, nearest=np.argsort(-products, axis=1)[:, :TOP])


def filled_store(keys: np.ndarray, *, may_index: bool) -> RecallStore:
    """A store with these keys, put in by a snapshot's state: one write at a time would search duplicates."""
    store = RecallStore(len(keys), KEY_DIM, VALUE_DIM, may_index=may_index)
    num = len(keys)
    state = store.state()
    arrays = {name: np.zeros((num, *array.shape[1:]), array.dtype) for name, array in state.arrays.items()}
    arrays |= {"keys": keys, "num_merged": np.ones(num, np.int64)}
    store.restore(type(state)(geometry=state.geometry, scalars=state.scalars, arrays=arrays))
    return store


def searches(num: int, num_queries: int, *, has_graphs: bool) -> list[Search]:
    """This store exact and with an index, beside numpy, faiss-flat, hnswlib and usearch.

    has_graphs: build the graphs of hnswlib and usearch, which takes most of the time.
    """
    data = make_keys(num, num_queries)
    exact = filled_store(data.keys, may_index=False)
    found = [
        _timed("sage, exact", data, lambda query: exact.nearest(query, TOP)[0]),
        _timed("sage, whole read", data, lambda query: exact.recall(query, time_ns=0, k=TOP), judged=False),
        _timed("numpy", data, lambda query: np.argpartition(data.keys.dot(query), num - TOP)[num - TOP :]),
        _peer("faiss-flat", data, _faiss),
    ]
    if has_graphs:
        found.append(_peer("hnswlib M 16", data, _hnswlib))
        found.append(_peer("usearch M 16", data, _usearch))
    if has_graphs and num >= recall_module.INDEX_FROM:
        started = time.process_time()
        indexed = filled_store(data.keys, may_index=True)
        has_index = indexed._current_index() is not None
        build_secs = time.process_time() - started
        method = "sage, index"
        found.append(
            _timed(method, data, lambda query: indexed.nearest(query, TOP)[0], build_secs=build_secs)
            if has_index
            else _absent(method, num)
        )
    return found


def _timed(
    method: str,
    data: Keys,
    query: Callable[[np.ndarray], Any],
    *,
    build_secs: float | None = None,
    judged: bool = True,
) -> Search:
    query(data.queries[0])
    times, hits = [], 0
    for each, nearest in zip(data.queries, data.nearest):
        started = time.process_time_ns()
        found = query(each)
        times.append(time.process_time_ns() - started)
        if judged:
            hits += len(np.intersect1d(np.asarray(found).reshape(-1), nearest))
    return Search(
        method=method,
        num=len(data.keys),
        query_us=float(np.median(times)) * 1e-3,
        recall=hits / data.nearest.size if judged else None,
        build_secs=build_secs,
    )


def _absent(method: str, num: int) -> Search:
    return Search(method=f"{method} (not installed)", num=num, query_us=None, recall=None)


def _peer(method: str, data: Keys, build: Callable[[Keys], Callable[[np.ndarray], Any]]) -> Search:
    started = time.process_time()
    try:
        query = build(data)
    except ImportError:
        return _absent(method, len(data.keys))
    return _timed(method, data, query, build_secs=time.process_time() - started)


def _faiss(data: Keys) -> Callable[[np.ndarray], Any]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(KEY_DIM)
    index.add(data.keys)
    return lambda query: index.search(query[None], TOP)[1]


def _hnswlib(data: Keys) -> Callable[[np.ndarray], Any]:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=KEY_DIM)
    index.init_index(max_elements=len(data.keys), M=16, ef_construction=100)
    index.set_num_threads(1)
    index.add_items(data.keys)
    index.set_ef(64)
    return lambda query: index.knn_query(query[None], TOP)[0]


def _usearch(data: Keys) -> Callable[[np.ndarray], Any]:
    from usearch.index import Index

    index = Index(
        ndim=KEY_DIM, metric="ip", dtype="f32", connectivity=16, expansion_add=100, expansion_search=64
    )
    index.add(np.arange(len(data.keys), dtype=np.uint64), data.keys, threads=1)
    return lambda query: index.search(query, TOP, threads=1).keys


def packed_write_us(num: int = 2000) -> float:
    """Median CPU time of one tick's row, written to L-memory on the device: CUDA where there is one, else the
    CPU. Every fourth has a carry.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ring = TransitionRing(1024, CHANNELS, SOURCES, ACTIONS, CARRY_SHAPE, device=device)
    carry = torch.zeros(CARRY_SHAPE, device=device)
    times = []
    for tick in range(num):
        frame = _frame(tick)
        started = time.process_time_ns()
        ring.append(frame, carry, carry)
        times.append(time.process_time_ns() - started)
    return float(np.median(times)) * 1e-3


def _frame(tick: int) -> Frame:
    sizes = field_sizes(CHANNELS, SOURCES)
    fields = {name: np.full(size, tick % 7, np.float32) for name, size in sizes.items()}
    flags = {name: fields[name] > 0 for name in BOOL_FIELDS}
    action = np.zeros(ACTIONS, np.float32)
    return Frame(**fields | flags, action=action, reward=0.0, time_ns=tick * 50_000_000, tick=tick)


def store_write_us(num: int = 1000, capacity: int = 1024) -> float:
    """Median CPU time of a write to a full store, its search for duplicates included."""
    generator = np.random.default_rng(SEED)
    store = RecallStore(capacity, KEY_DIM, VALUE_DIM)
    value = np.zeros(VALUE_DIM, np.float32)
    times = []
    for at in range(capacity + num):
        key = generator.standard_normal(KEY_DIM)
        started = time.process_time_ns()
        store.write(key, value, salience=float(generator.random()), trust=1.0, time_ns=at, context=0)
        times.append(time.process_time_ns() - started)
    return float(np.median(times[capacity:])) * 1e-3


def salient_recall(num_events: int = 4096, num_slots: int = 128, num_salient: int = 256) -> dict[str, float]:
    """Share of the salient events that are in the store at the end, by salience and by age alone (FIFO), at
    equal bytes. Salient events are spread evenly over the stream.
    """
    generator = np.random.default_rng(SEED)
    salient = np.zeros(num_events, bool)
    salient[generator.choice(num_events, num_salient, replace=False)] = True
    store = RecallStore(num_slots, KEY_DIM, VALUE_DIM)
    keys = generator.standard_normal((num_events, KEY_DIM)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    value = np.zeros(VALUE_DIM, np.float32)
    for at in range(num_events):
        salience = 0.7 + 0.3 * generator.random() if salient[at] else 0.6 * generator.random()
        store.write(keys[at], value, salience=float(salience), trust=1.0, time_ns=at * 50_000_000, context=0)
    kept = np.array([store.nearest(keys[at], 1)[1][0] > 0.999 for at in np.flatnonzero(salient)])
    fifo = np.flatnonzero(salient) >= num_events - num_slots
    return {"salience": float(kept.mean()), "fifo": float(fifo.mean())}
