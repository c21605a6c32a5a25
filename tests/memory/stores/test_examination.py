"""Held-out blocks are chosen by time alone, kept apart from replay, and labelled new until a sleep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.memory.stores.examination import BlockSchedule, ExaminationStore
from sage.memory.stores.origins import Origin
from sage.memory.windows.window import Window, WindowShape

Live = Callable[..., Window]
BLOCK_NS = 5_000_000_000


def role(schedule: BlockSchedule, time_ns: int) -> str:
    return schedule.role_of_span(time_ns, time_ns)


def marks_of(window: Window | None) -> list[int]:
    return [] if window is None else window.values[:, 0, 0].int().tolist()


@pytest.fixture
def schedule() -> BlockSchedule:
    return BlockSchedule(fraction=0.1, block_secs=5.0, seed=3)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    fraction=st.sampled_from([0.05, 0.1, 0.2, 0.34, 0.45]),
    first_run=st.integers(-5, 10**6),
)
def test_each_run_of_blocks_has_exactly_one_examined_and_its_neighbours_are_embargoed(
    seed: int, fraction: float, first_run: int
) -> None:
    schedule, length = BlockSchedule(fraction=fraction, block_secs=5.0, seed=seed), round(1 / fraction)
    first = first_run * length
    roles = [role(schedule, (first + block) * BLOCK_NS) for block in range(5 * length)]
    for run in range(5):
        assert roles[run * length : (run + 1) * length].count("examined") == 1
    for block in range(1, len(roles) - 1):
        is_near = "examined" in (roles[block - 1], roles[block + 1])
        assert roles[block] == "examined" or roles[block] == ("embargoed" if is_near else "replay")


def test_a_block_has_one_role_from_its_first_to_its_last_instant(schedule: BlockSchedule) -> None:
    for block in range(40):
        start = block * BLOCK_NS
        instants = (start, start + BLOCK_NS // 2, start + BLOCK_NS - 1)
        assert len({role(schedule, instant) for instant in instants}) == 1


def test_seeds_choose_different_blocks_and_equal_seeds_the_same() -> None:
    def chosen(seed: int) -> list[str]:
        schedule = BlockSchedule(fraction=0.1, block_secs=5.0, seed=seed)
        return [role(schedule, block * BLOCK_NS) for block in range(200)]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    duration_ns=st.integers(0, 4 * BLOCK_NS),
    starts=st.lists(st.integers(0, 60 * BLOCK_NS), min_size=2, max_size=60),
)
def test_examined_and_replayed_spans_never_share_an_instant(
    seed: int, duration_ns: int, starts: list[int]
) -> None:
    schedule = BlockSchedule(fraction=0.2, block_secs=5.0, seed=seed)
    spans = {"replay": [], "examined": [], "embargoed": []}
    for start in starts:
        spans[schedule.role_of_span(start, start + duration_ns)].append((start, start + duration_ns))
    for a_start, a_end in spans["examined"]:
        for b_start, b_end in spans["replay"]:
            assert a_end < b_start or b_end < a_start


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0, -0.1])
def test_an_invalid_fraction_raises(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        BlockSchedule(fraction=fraction, block_secs=5.0, seed=0)


def test_what_was_new_is_old_after_a_sleep(shape: WindowShape, live: Live, schedule: BlockSchedule) -> None:
    store = ExaminationStore(8, shape, schedule=schedule, seed=0)
    for mark in range(3):
        assert store.consider(live(mark), time_ns=mark)
    assert (marks_of(store.new()), marks_of(store.old())) == ([0, 1, 2], [])
    store.mark_slept()
    store.consider(live(9), time_ns=9)
    assert (marks_of(store.new()), marks_of(store.old())) == ([9], [0, 1, 2])
    assert (len(store), store.num_new) == (4, 1)


def test_what_came_during_a_sleep_stays_new(shape: WindowShape, live: Live, schedule: BlockSchedule) -> None:
    """It became old without an examination, and took the place of what was examined."""
    store = ExaminationStore(8, shape, schedule=schedule, seed=0)
    for mark in range(1, 7):
        store.consider(live(mark), time_ns=mark, origin=Origin(id=mark))
    examined = marks_of(store.new())
    num_before = 0
    for mark in range(7, 40):
        store.consider(live(mark), time_ns=mark, origin=Origin(id=mark))
        num_before += mark in marks_of(store.new())
    kept = marks_of(store.new())
    store.mark_slept(newest_id=6)
    assert num_before > 0
    assert marks_of(store.old()) == [mark for mark in kept if mark in examined]
    assert marks_of(store.new()) == [mark for mark in kept if mark > 6]
    for mark in range(40, 60):
        store.consider(live(mark), time_ns=mark, origin=Origin(id=mark))
    store.mark_slept(newest_id=59)
    assert len(store) == 4
    assert store.new() is None


def test_blocks_of_different_runs_have_different_numbers(
    shape: WindowShape, live: Live, schedule: BlockSchedule
) -> None:
    """Each run counts time from 0, and its examined blocks repeat."""
    store, blocks = ExaminationStore(40, shape, schedule=schedule, seed=0), []
    for _ in range(4):
        for second in range(300):
            start_ns = second * 10**9
            if schedule.role_of_span(start_ns, start_ns) == "examined":
                store.consider(live(second, start_ns=start_ns), time_ns=start_ns)
                blocks.append(start_ns // BLOCK_NS)
        windows = store.new()
        assert windows is not None
        store.shift_times(-437 * 10**9)
    num_a_run = len(set(blocks))
    assert num_a_run == 6
    windows = store.new()
    assert windows is not None
    found = set((windows.start_time_ns // BLOCK_NS).tolist())
    assert len(found) > 2 * num_a_run, "of four runs, of which the store has a sample"
    assert max(found) < 0


def test_new_experience_finds_room_however_long_the_past(
    shape: WindowShape, live: Live, schedule: BlockSchedule
) -> None:
    store, mark = ExaminationStore(10, shape, schedule=schedule, seed=1), 0
    for night in range(6):
        for _ in range(40):
            store.consider(live(mark), time_ns=mark)
            mark += 1
        assert store.num_new == 5
        assert len(store) <= 10
        assert all(mark >= night * 40 for mark in marks_of(store.new()))
        assert all(mark < night * 40 for mark in marks_of(store.old()))
        store.mark_slept()
        assert (len(store), store.num_new) == (5, 0)


def test_the_old_are_an_even_sample_of_all_nights(
    shape: WindowShape, live: Live, schedule: BlockSchedule
) -> None:
    nights = []
    for seed in range(30):
        store = ExaminationStore(8, shape, schedule=schedule, seed=seed)
        for night in range(4):
            for _ in range(12):
                store.consider(live(night), time_ns=night)
            store.mark_slept()
        nights.extend(marks_of(store.old()))
    counts = np.bincount(nights, minlength=4)
    expected = len(nights) / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi2, 3 degrees of freedom, 0.1%


def test_an_empty_examination_is_empty_and_not_an_error(shape: WindowShape, schedule: BlockSchedule) -> None:
    store = ExaminationStore(4, shape, schedule=schedule, seed=0)
    assert store.new() is None
    assert store.old() is None
