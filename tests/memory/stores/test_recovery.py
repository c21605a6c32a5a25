"""Journal rows on top of a snapshot give the memory that a run had, and times of the run that continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sage.memory.stores.hmemory import Experience, HMemory, StoreChange
from sage.memory.stores.journal_row import JournalRow, StoredRow, decode, encode
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.recovery import apply_rows, overlaid, were_moved
from sage.memory.stores.snapshot import save_states
from sage.memory.stores.state import StoreState
from sage.memory.windows.window import Window, WindowShape

Live = Callable[..., Window]
SECOND_NS = 10**9
EPOCH_NS = 10**18


def build(shape: WindowShape) -> HMemory:
    return HMemory.build(
        shape, RecallStore(16, 6, 2), num_experiences=16, examined_fraction=0.2, block_secs=5.0, seed=1
    )


class Recorder:
    """Keeps every change as the bytes of a journal row."""

    def __init__(self, memory: HMemory) -> None:
        self.rows: list[StoredRow] = []
        memory.recorder = self

    def __call__(self, change: StoreChange) -> None:
        row = JournalRow(
            store=change.store,
            slot=change.slot,
            id=change.origin.id,
            first_id=change.first_id,
            episode=change.origin.episode,
            first_episode=change.origin.first_episode,
            context=change.context,
            epoch_ns=EPOCH_NS,
            time_ns=change.time_ns,
            salience=change.salience,
            trust=change.trust,
            scalars=change.scalars,
            arrays=change.arrays,
        )
        self.rows.append(decode(encode(len(self.rows) + 1, row)))


def live_through(memory: HMemory, live: Live, seconds: range) -> None:
    for second in seconds:
        generator = np.random.default_rng(second)
        key = generator.standard_normal(6)
        memory.remember(
            Experience(
                window=live(second, start_ns=second * SECOND_NS),
                key=key if second % 4 else np.ones(6) + 0.01 * key,  # some are near-duplicates
                value=generator.standard_normal(2),
                surprise=float(generator.random()),
                salience=float(generator.random()),
                trust=float(generator.random()),
                context=second % 3,
                time_ns=second * SECOND_NS,
            )
        )
        if second % 3 == 0:
            memory.offer_window(
                live(second, start_ns=second * SECOND_NS), context=1, time_ns=second * SECOND_NS
            )
        if second % 70 == 69:
            memory.mark_slept()


def arrays_of(memory: HMemory, shift_ns: int = 0) -> dict[str, np.ndarray]:
    found = {}
    for name, store in memory.stores.items():
        for field, array in store.state().arrays.items():
            is_time = field in ("times_ns", "first_times_ns")
            if is_time or (name, field) == ("examination", "window.start_time_ns"):
                array = array[store.origins.ids[: len(array)] > 0] - shift_ns
            found[f"{name}.{field}"] = array
    return found


def assert_same(one: HMemory, other: HMemory, shift_ns: int) -> None:
    ours, theirs = arrays_of(one, shift_ns), arrays_of(other)
    for name, array in ours.items():
        if name != "recall.hits":
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.parametrize("num_before", [0, 40, 200])
def test_snapshot_and_journal_give_the_memory_of_the_run(
    tmp_path: Path, shape: WindowShape, live: Live, num_before: int
) -> None:
    memory = build(shape)
    live_through(memory, live, range(num_before))
    save_states(tmp_path / "memory", {name: store.state() for name, store in memory.stores.items()})
    recorder = Recorder(memory)
    live_through(memory, live, range(num_before, 300))
    now_ns = EPOCH_NS + 1000 * SECOND_NS
    restored = build(shape)
    restored.load(tmp_path / "memory", elapsed_ns=now_ns - EPOCH_NS)
    num_applied = apply_rows(restored, recorder.rows, epoch_ns=now_ns)
    assert num_applied == len(recorder.rows) > 20
    assert_same(memory, restored, 1000 * SECOND_NS)


def test_applying_rows_twice_changes_nothing(shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(120))
    once, twice = build(shape), build(shape)
    apply_rows(once, recorder.rows, epoch_ns=EPOCH_NS + 200 * SECOND_NS)
    for _ in range(2):
        apply_rows(twice, recorder.rows, epoch_ns=EPOCH_NS + 200 * SECOND_NS)
    assert_same(once, twice, 0)


@pytest.mark.parametrize("seed", range(5))
def test_lost_rows_leave_no_hole_and_what_is_left_is_whole(shape: WindowShape, live: Live, seed: int) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(60))
    is_kept = np.random.default_rng(seed).random(len(recorder.rows)) > 0.3
    rows = [row for row, kept in zip(recorder.rows, is_kept) if kept]
    restored = build(shape)
    apply_rows(restored, rows, epoch_ns=EPOCH_NS)
    for store, index in ((restored.replay, 0), (restored.recall_store, 1)):
        last = {row.slot: row for row in rows if row.store == ("replay", "recall")[index]}
        assert len(store) == len(last)
        assert sorted(store.origins.ids[: len(store)]) == sorted(row.id for row in last.values())
    windows = restored.replay.all()
    assert windows is not None
    for mark, reward in zip(windows.start_tick.tolist(), windows.reward):
        assert (reward == mark).all()
    live_through(restored, live, range(60, 200))
    assert len(restored.replay) == restored.replay.capacity


def test_times_are_of_the_new_run_and_never_in_its_future(shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(30))
    for elapsed_secs in (100, -100):  # a wall clock that was set back
        restored = build(shape)
        apply_rows(restored, recorder.rows, epoch_ns=EPOCH_NS + elapsed_secs * SECOND_NS)
        times = restored.recall_store.times_ns
        newest_ns = int(memory.recall_store.times_ns.max())
        assert times.max() == min(newest_ns - elapsed_secs * SECOND_NS, 0)


def test_numbers_continue_after_those_of_the_journal(shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(30))
    restored = build(shape)
    apply_rows(restored, recorder.rows, epoch_ns=EPOCH_NS + 100 * SECOND_NS)
    later = Recorder(restored)
    live_through(restored, live, range(5))
    assert min(row.id for row in later.rows) > max(row.id for row in recorder.rows)
    assert later.rows[-1].episode > max(row.episode for row in recorder.rows)


def test_a_window_whose_row_was_lost_before_a_night_is_not_in_use(shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(70))  # with a night at the end
    examined = [row for row in recorder.rows if row.store == "examination"]
    slots = sorted({row.slot for row in examined if row.slot >= 0} & set(_used(memory)))
    assert len(slots) > 1
    kept = [row for row in examined if row.slot != slots[0]]
    restored = build(shape)
    apply_rows(restored, kept, epoch_ns=EPOCH_NS)
    assert _used(restored) == slots[1:]
    assert not were_moved(restored, kept)
    shown = overlaid(StoreState(geometry={}, scalars={}, arrays={}), kept, EPOCH_NS)  # without a snapshot
    assert np.flatnonzero(shown.arrays["keys"] > -np.inf).tolist() == slots[1:]


def _used(memory: HMemory) -> list[int]:
    return np.flatnonzero(memory.examination.state().arrays["keys"] > -np.inf).tolist()


def test_closed_holes_are_stated(shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    recorder = Recorder(memory)
    live_through(memory, live, range(60))
    for lost, is_moved in ((None, False), (("recall", 0), True), (("replay", 0), True)):
        rows = [row for row in recorder.rows if (row.store, row.slot) != lost]
        restored = build(shape)
        apply_rows(restored, rows, epoch_ns=EPOCH_NS)
        assert were_moved(restored, rows) == is_moved, lost
