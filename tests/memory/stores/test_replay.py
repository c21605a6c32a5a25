"""Replay copies what was offered, with a weight of surprise times trust."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.memory.stores.replay import FLOOR_WEIGHT, ReplayStore, replay_weight
from sage.memory.windows.window import Window, WindowShape

Live = Callable[..., Window]


def marks_of(store: ReplayStore) -> list[int]:
    everything = store.all()
    return [] if everything is None else everything.values[:, 0, 0].int().tolist()


def test_weight_is_surprise_times_trust_above_a_floor() -> None:
    assert replay_weight(0.8, 0.5) == pytest.approx(0.4 + FLOOR_WEIGHT)
    assert replay_weight(1.0, 0.0) == FLOOR_WEIGHT
    assert replay_weight(float("nan"), 1.0) == FLOOR_WEIGHT


def test_kept_experiences_are_copies_with_their_time_and_context(shape: WindowShape, live: Live) -> None:
    store = ReplayStore(8, shape, seed=0)
    for mark in range(5):
        assert store.consider(live(mark), 1.0, context=mark % 2, time_ns=100 * mark)
    assert marks_of(store) == [0, 1, 2, 3, 4]
    assert store.times_ns.tolist() == [0, 100, 200, 300, 400]
    assert store.contexts.tolist() == [0, 1, 0, 1, 0]


def test_what_is_not_kept_changes_nothing(shape: WindowShape, live: Live) -> None:
    store, held = ReplayStore(4, shape, seed=1), {}
    for mark in range(200):
        if store.consider(live(mark), 0.5, context=0, time_ns=mark):
            held[mark] = True
        assert set(marks_of(store)) <= set(held)
        assert store.times_ns.tolist() == marks_of(store)
    assert len(held) < 60
    assert store.num_seen == 200


def test_an_empty_store_has_no_windows(shape: WindowShape) -> None:
    assert ReplayStore(4, shape, seed=0).all() is None


def test_the_store_never_exceeds_its_capacity(shape: WindowShape, live: Live) -> None:
    store = ReplayStore(4, shape, seed=0)
    for mark in range(100):
        weight = float(np.random.default_rng(mark).uniform(0.1, 1))
        store.consider(live(mark), weight, context=mark % 7, time_ns=mark)
    assert len(store) == 4
    assert len(marks_of(store)) == 4
