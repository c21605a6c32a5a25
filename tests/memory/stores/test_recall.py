"""Recall returns what was written, merges similar entries, and replaces the least salient ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.memory.stores import key_index, recall
from sage.memory.stores.recall import SHARPNESS, RecallStore

DAY_NS = 86_400 * 10**9


def directions(num: int, dim: int, seed: int = 0) -> np.ndarray:
    """(num, dim) far apart, not of unit length."""
    return np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32) * 3


def one_hot(index: int, dim: int) -> np.ndarray:
    return np.eye(dim, dtype=np.float32)[index]


def write_plain(store: RecallStore, key: np.ndarray, value: np.ndarray, **changed: float) -> bool:
    given = {"salience": 0.5, "trust": 1.0, "time_ns": 0, "context": 0} | changed
    return store.write(key, value, **given)


def has(store: RecallStore, key: np.ndarray) -> bool:
    return store.recall(key, time_ns=0, k=1).similarity > 1 - 1e-4


def test_a_written_value_is_recalled_by_its_key() -> None:
    store, keys = RecallStore(16, 32, 16), directions(16, 32)
    for index in range(16):
        write_plain(store, keys[index], one_hot(index, 16), trust=0.8, time_ns=1000 * index)
    recalled = store.recall(keys[5], time_ns=20_000, k=4)
    assert int(recalled.value.argmax()) == 5
    assert recalled.similarity == pytest.approx(1.0, abs=1e-5)
    assert recalled.confidence == pytest.approx(0.8, abs=1e-4)
    assert (recalled.age_ns, recalled.num_hits, recalled.queried_ns) == (15_000, 4, 20_000)


@settings(max_examples=40, deadline=None)
@given(num=st.integers(1, 60), k=st.integers(1, 12), seed=st.integers(0, 1000))
def test_the_read_is_the_softmax_of_the_exact_best_matches(num: int, k: int, seed: int) -> None:
    store, keys = RecallStore(64, 24, 3, merge_similarity=1.1), directions(num, 24, seed)
    values = np.random.default_rng(seed + 1).standard_normal((num, 3)).astype(np.float32)
    for key, value in zip(keys, values):
        write_plain(store, key, value)
    query = directions(1, 24, seed + 2)[0]
    cosine = keys @ query / np.linalg.norm(keys, axis=1) / np.linalg.norm(query)
    best = np.argsort(cosine)[-k:]
    weights = np.exp(SHARPNESS * (cosine[best] - cosine[best].max()))
    recalled = store.recall(query, time_ns=0, k=k)
    np.testing.assert_allclose(recalled.value, weights @ values[best] / weights.sum(), atol=1e-4)
    assert recalled.num_hits == min(k, num)
    assert recalled.similarity == pytest.approx(cosine.max(), abs=1e-5)


def test_an_empty_store_has_no_match() -> None:
    recalled = RecallStore(4, 8, 2).recall(np.ones(8), time_ns=5)
    assert (recalled.num_hits, recalled.confidence, recalled.age_ns) == (0, 0.0, -1)
    assert np.isnan(recalled.value).all()
    assert np.isnan(recalled.similarity)


@pytest.mark.parametrize("query", [np.zeros(8), np.full(8, np.nan)])
def test_a_query_without_direction_has_no_match(query: np.ndarray) -> None:
    store = RecallStore(4, 8, 2)
    write_plain(store, np.ones(8), np.ones(2))
    assert store.recall(query, time_ns=0).num_hits == 0


def test_a_near_duplicate_is_merged_and_takes_no_slot() -> None:
    store, key = RecallStore(4, 8, 1), directions(1, 8)[0]
    write_plain(store, key, np.array([1.0]), salience=0.9, trust=1.0, time_ns=10)
    assert write_plain(store, key * 1.001, np.array([3.0]), salience=0.2, trust=0.5, time_ns=20)
    assert len(store) == 1
    recalled = store.recall(key, time_ns=30, k=1)
    assert recalled.value[0] == pytest.approx(2.0)
    assert recalled.confidence == pytest.approx(0.75)
    assert recalled.age_ns == 10


def test_a_similar_entry_of_another_context_is_not_merged() -> None:
    store, key = RecallStore(4, 8, 1), directions(1, 8)[0]
    write_plain(store, key, np.array([1.0]), context=0)
    write_plain(store, key, np.array([3.0]), context=1)
    assert len(store) == 2


def test_what_is_not_finite_or_has_no_direction_is_not_kept() -> None:
    store, key = RecallStore(4, 8, 1), directions(1, 8)[0]
    assert not write_plain(store, key, np.array([np.nan]))
    assert not write_plain(store, np.full(8, np.inf), np.array([1.0]))
    assert not write_plain(store, np.zeros(8), np.array([1.0]))
    assert len(store) == 0


def test_the_least_salient_is_replaced_and_a_less_salient_newcomer_rejected() -> None:
    store, keys = RecallStore(3, 16, 3), directions(5, 16)
    for index, salience in enumerate((0.6, 0.2, 0.9)):
        write_plain(store, keys[index], one_hot(index, 3), salience=salience)
    assert not write_plain(store, keys[3], np.zeros(3), salience=0.1)
    assert write_plain(store, keys[4], np.ones(3), salience=0.5)
    assert not has(store, keys[1])
    assert has(store, keys[0])


def test_age_reduces_worth() -> None:
    store, keys = RecallStore(2, 16, 1), directions(3, 16)
    write_plain(store, keys[0], np.zeros(1), salience=0.9, time_ns=0)
    write_plain(store, keys[1], np.zeros(1), salience=0.4, time_ns=3 * DAY_NS)
    assert write_plain(
        store, keys[2], np.zeros(1), salience=0.3, time_ns=3 * DAY_NS
    )  # 0.9 / (1 + 3) is the least
    assert not has(store, keys[0])
    assert has(store, keys[1])


@settings(max_examples=40, deadline=None)
@given(contexts=st.lists(st.integers(0, 3), min_size=30, max_size=120), seed=st.integers(0, 1000))
def test_no_context_that_wrote_often_enough_falls_below_its_share(contexts: list[int], seed: int) -> None:
    store, generator = RecallStore(12, 32, 1), np.random.default_rng(seed)
    for time_ns, context in enumerate(contexts):
        write_plain(
            store,
            generator.standard_normal(32),
            np.zeros(1),
            salience=generator.random(),
            time_ns=time_ns,
            context=context,
        )
    labels, num_written = np.unique(contexts, return_counts=True)
    num_kept = np.array([np.count_nonzero(store.contexts == label) for label in labels])
    assert (num_kept >= np.minimum(num_written, 12 // len(labels))).all()
    assert len(store) == 12


def test_salience_keeps_eight_times_the_salient_events_that_first_in_first_out_does() -> None:
    """4,096 events, 128 slots, one event in twenty salient: 3% of those are among the last 128 events."""
    generator = np.random.default_rng(0)
    keys, is_salient = directions(4096, 32), generator.random(4096) < 0.05
    salience = np.where(is_salient, generator.uniform(0.4, 1.0, 4096), generator.uniform(0.0, 0.6, 4096))
    store = RecallStore(128, 32, 1)
    for event in range(4096):
        write_plain(store, keys[event], np.zeros(1), salience=salience[event], time_ns=event * 10**9)
    is_recalled = np.array([has(store, key) for key in keys])
    ours = np.mean(is_recalled[is_salient])
    first_in_first_out = np.mean(np.arange(4096)[is_salient] >= 4096 - 128)
    assert is_recalled.sum() == 128
    assert ours >= 8 * first_in_first_out
    assert ours > 0.4


def test_a_recall_counts_a_hit_of_each_match() -> None:
    store, keys = RecallStore(8, 16, 1), directions(8, 16)
    for key in keys:
        write_plain(store, key, np.zeros(1))
    store.recall(keys[0], time_ns=0, k=3)
    store.recall(keys[1], time_ns=0, k=3)
    assert store.state().arrays["hits"].sum() == 6
    assert store.num_queries == 2
    assert store.last_recalled is not None
    assert store.last_recalled.sequence == 2


def test_the_store_never_exceeds_its_capacity() -> None:
    store = RecallStore(8, 16, 4)
    for time_ns, key in enumerate(directions(200, 16)):
        write_plain(store, key, np.zeros(4), time_ns=time_ns, context=time_ns % 5)
    assert len(store) == 8
    assert all(len(array) == 8 for array in store.state().arrays.values())


def test_sizes_under_one_are_refused() -> None:
    with pytest.raises(ValueError, match="key_dim"):
        RecallStore(1, 0, 1)


def test_a_compiled_search_and_an_index_find_what_numpy_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    generator = np.random.default_rng(0)
    store = RecallStore(300, 24, 2)
    for at in range(300):
        store.write(
            generator.standard_normal(24), np.zeros(2), salience=0.5, trust=1.0, time_ns=at, context=at
        )
    for k in (1, 8, 400):
        query = generator.standard_normal(24).astype(np.float32)
        query /= np.linalg.norm(query)
        slots, similarities = store.nearest(query, k)
        monkeypatch.setattr(recall, "COMPILED_FROM", 1)
        compiled_slots, compiled_similarities = store.nearest(query, k)
        monkeypatch.undo()
        assert sorted(compiled_slots) == sorted(slots)
        np.testing.assert_allclose(
            np.sort(compiled_similarities), np.sort(similarities), rtol=1e-5, atol=1e-6
        )


def test_a_store_that_may_need_the_compiled_search_compiles_it_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(recall, "has_compiler", lambda: True)
    monkeypatch.setattr(RecallStore, "_scan", staticmethod(lambda keys, unit, k: calls.append(len(keys))))
    RecallStore(300, 24, 2)
    assert calls == []
    monkeypatch.setattr(recall, "COMPILED_FROM", 300 * 24)
    RecallStore(300, 24, 2)
    assert calls == [1]


@pytest.mark.parametrize("library", ["hnswlib", "usearch"])
def test_an_index_follows_writes_merges_and_a_restored_state(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    pytest.importorskip(library)
    monkeypatch.setattr(recall, "INDEX_FROM", 50)
    monkeypatch.setattr(key_index, "find_spec", lambda name: name == library or None)
    generator = np.random.default_rng(0)
    store, exact = RecallStore(200, 16, 2, may_index=True), RecallStore(200, 16, 2)
    for at in range(400):
        key, salience = generator.standard_normal(16), float(generator.random())
        for each in (store, exact):
            each.write(key, np.zeros(2), salience=salience, trust=1.0, time_ns=at, context=0)
        assert store.nearest(key.astype(np.float32), 1)[1] == pytest.approx(
            exact.nearest(key.astype(np.float32), 1)[1], rel=1e-4
        )
    store.restore(exact.state())
    query = generator.standard_normal(16).astype(np.float32)
    assert sorted(store.nearest(query, 5)[0]) == sorted(exact.nearest(query, 5)[0])


class ExactIndex:
    """Every key that it was given; counts puts of more than one key."""

    def __init__(self, capacity: int, key_dim: int) -> None:
        self.keys = np.zeros((capacity, key_dim), np.float32)
        self.num_puts: list[int] = []

    def put(self, slots: np.ndarray, keys: np.ndarray) -> None:
        self.keys[slots] = keys
        self.num_puts.append(len(slots))

    def candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        return np.argsort(-self.keys.dot(query))[:k]


def test_no_query_builds_the_index_and_a_restore_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ExactIndex] = []
    monkeypatch.setattr(recall, "INDEX_FROM", 50)
    monkeypatch.setattr(recall, "make_index", lambda *sizes: made.append(ExactIndex(*sizes)) or made[-1])
    generator = np.random.default_rng(0)
    store = RecallStore(80, 16, 2, may_index=True)
    for at in range(120):
        store.recall(generator.standard_normal(16), time_ns=at)
        key, salience = generator.standard_normal(16), float(generator.random())
        store.write(key, np.zeros(2), salience=salience, trust=1.0, time_ns=at, context=0)
    assert set(made[0].num_puts) == {1}
    again = RecallStore(80, 16, 2, may_index=True)
    again.restore(store.state())
    assert made[-1].num_puts == [80]
    again.recall(generator.standard_normal(16), time_ns=0)
    assert made[-1].num_puts == [80]
    assert len(made) == 3
    RecallStore(49, 16, 2, may_index=True)  # never large enough
    assert len(made) == 3


def test_an_index_that_is_overwritten_many_times_keeps_its_bytes() -> None:
    pytest.importorskip("usearch")
    generator, index = np.random.default_rng(0), key_index.UsearchIndex(400, 16)

    def overwrite(num: int) -> int:
        for _ in range(num):
            index.put(np.arange(400), generator.standard_normal((400, 16)).astype(np.float32))
        return int(index._index.memory_usage)

    before = overwrite(2)
    assert overwrite(20) == before


def test_salience_eviction_keeps_eight_times_the_salient_events_of_a_queue() -> None:
    """4,096 events, 128 slots, 5% of the events salient: the bar of the design at equal bytes."""
    generator = np.random.default_rng(0)
    store, keys = RecallStore(128, 32, 1), directions(4096, 32)
    is_salient = generator.uniform(size=4096) < 0.05
    for index, key in enumerate(keys):
        salience = 0.8 if is_salient[index] else 0.4 * generator.uniform()
        write_plain(store, key, np.zeros(1), salience=salience, time_ns=index * 10**9)
    kept = np.array([has(store, keys[index]) for index in np.flatnonzero(is_salient)])
    in_queue = np.flatnonzero(is_salient) >= 4096 - 128
    assert kept.mean() > 8 * in_queue.mean() > 0
    assert len(store) == 128


def test_a_rare_context_keeps_its_share_beside_a_frequent_salient_one() -> None:
    store, keys = RecallStore(32, 32, 1), directions(1000, 32)
    for index, key in enumerate(keys):
        is_rare = index % 40 == 0
        write_plain(store, key, np.zeros(1), salience=0.1 if is_rare else 0.9, context=int(is_rare))
    assert int((store.contexts == 1).sum()) == 16
