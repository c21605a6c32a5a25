"""Three stores: each experience has one role, and all of them can be recalled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.memory.stores.hmemory import Experience, HMemory, Remembered
from sage.memory.stores.recall import RecallStore
from sage.memory.windows.window import Window, WindowShape

Live = Callable[..., Window]
BLOCK_NS = 5 * 10**9


def marks_of(window: Window | None) -> list[int]:
    return [] if window is None else window.values[:, 0, 0].int().tolist()


@pytest.fixture
def memory(shape: WindowShape) -> HMemory:
    return HMemory.build(
        shape, RecallStore(64, 8, 2), num_experiences=64, examined_fraction=0.2, block_secs=5.0, seed=0
    )


def experience(window: Window | None, time_ns: int, **changed: float) -> Experience:
    key = np.random.default_rng(time_ns).standard_normal(8)
    given = {"surprise": 0.5, "salience": 0.5, "trust": 0.9, "context": 0} | changed
    return Experience(window=window, key=key, value=np.array([1.0, 2.0]), time_ns=time_ns, **given)


def test_each_experience_has_one_role_and_all_can_be_recalled(memory: HMemory, live: Live) -> None:
    results = {
        block: memory.remember(experience(live(block, start_ns=block * BLOCK_NS), block * BLOCK_NS + 1))
        for block in range(40)
    }
    replayed = set(marks_of(memory.replay.all()))
    examined = set(marks_of(memory.examination.new()))
    assert replayed == {block for block, remembered in results.items() if remembered.role == "replay"}
    assert examined == {block for block, remembered in results.items() if remembered.role == "examined"}
    assert not replayed & examined
    assert all(remembered.is_recallable for remembered in results.values())
    assert {remembered.role for remembered in results.values()} == {"replay", "examined", "embargoed"}
    assert len(memory.recall_store) == 40


def test_no_replayed_block_touches_an_examined_one(memory: HMemory, live: Live) -> None:
    for block in range(40):
        memory.remember(experience(live(block, start_ns=block * BLOCK_NS), block * BLOCK_NS))
    replayed = np.array(marks_of(memory.replay.all()))
    examined = np.array(marks_of(memory.examination.new()))
    assert np.abs(replayed[:, None] - examined[None]).min() >= 2


def test_an_experience_without_a_window_is_only_recalled(memory: HMemory) -> None:
    assert memory.remember(experience(None, 7)) == Remembered(role=None, is_kept=False, is_recallable=True)
    assert memory.replay.num_seen + memory.examination.num_seen == 0
    assert memory.recall(experience(None, 7).key, time_ns=9).age_ns == 2


def test_unknown_salience_and_trust_count_as_0(memory: HMemory) -> None:
    memory.remember(experience(None, 7, salience=float("nan"), trust=float("nan")))
    assert memory.recall(experience(None, 7).key, time_ns=9).confidence == 0.0


def test_after_a_sleep_the_new_windows_are_old(memory: HMemory, live: Live) -> None:
    for block in range(40):
        memory.remember(experience(live(block, start_ns=block * BLOCK_NS), block * BLOCK_NS))
    new = marks_of(memory.examination.new())
    memory.mark_slept()
    assert new
    assert memory.examination.new() is None
    assert marks_of(memory.examination.old()) == new
