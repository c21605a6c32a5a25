"""A memory that was saved and loaded continues exactly as the one that was not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.durable import DamagedFile
from sage.memory.stores.hmemory import Experience, HMemory
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.snapshot import load_memory, save_states
from sage.memory.windows.window import Window, WindowShape

Live = Callable[..., Window]
SECOND_NS = 10**9


def build(
    shape: WindowShape, *, num_experiences: int = 16, carry_dtype: torch.dtype = torch.float32
) -> HMemory:
    return HMemory.build(
        shape,
        RecallStore(16, 6, 2),
        num_experiences=num_experiences,
        examined_fraction=0.2,
        block_secs=5.0,
        seed=1,
        carry_dtype=carry_dtype,
    )


def live_through(memory: HMemory, live: Live, seconds: range) -> list[object]:
    """Experiences that depend on their second alone; returns the memory's answers."""
    answers: list[object] = []
    for second in seconds:
        generator = np.random.default_rng(second)
        experience = Experience(
            window=live(second, start_ns=second * SECOND_NS),
            key=generator.standard_normal(6),
            value=generator.standard_normal(2),
            surprise=float(generator.random()),
            salience=float(generator.random()),
            trust=float(generator.random()),
            context=second % 3,
            time_ns=second * SECOND_NS,
        )
        recalled = memory.recall(generator.standard_normal(6), time_ns=second * SECOND_NS)
        answers += [memory.remember(experience), recalled.value.tolist(), recalled.age_ns]
        if second % 70 == 69:
            memory.mark_slept()
    return answers


def save(path: Path, memory: HMemory) -> None:
    save_states(path, {name: store.state() for name, store in memory.stores.items()})


def assert_equal(one: HMemory, other: HMemory) -> None:
    for name, store in one.stores.items():
        ours, theirs = store.state(), other.stores[name].state()
        assert (ours.geometry, ours.scalars) == (theirs.geometry, theirs.scalars)
        for field, array in ours.arrays.items():
            np.testing.assert_array_equal(array, theirs.arrays[field], err_msg=f"{name} {field}")


@pytest.mark.parametrize("carry_dtype", [torch.float32, torch.float16])
def test_a_loaded_memory_continues_identically(
    tmp_path: Path, shape: WindowShape, live: Live, carry_dtype: torch.dtype
) -> None:
    memory = build(shape, carry_dtype=carry_dtype)
    live_through(memory, live, range(200))
    save(tmp_path / "memory", memory)
    loaded = build(shape, carry_dtype=carry_dtype)
    load_memory(tmp_path / "memory", loaded.stores)
    assert_equal(loaded, memory)
    later = range(200, 320)
    np.testing.assert_equal(live_through(loaded, live, later), live_through(memory, live, later))
    assert_equal(loaded, memory)


def test_times_from_before_a_new_run_are_negative(tmp_path: Path, shape: WindowShape, live: Live) -> None:
    memory = build(shape)
    live_through(memory, live, range(60))
    save(tmp_path / "memory", memory)
    loaded = build(shape)
    loaded.load(tmp_path / "memory")
    np.testing.assert_array_equal(loaded.recall_store.times_ns, memory.recall_store.times_ns - 59 * SECOND_NS)
    np.testing.assert_array_equal(loaded.replay.times_ns, memory.replay.times_ns - 59 * SECOND_NS)
    key = np.random.default_rng(0).standard_normal(6)
    assert loaded.recall(key, time_ns=SECOND_NS).age_ns == memory.recall(key, time_ns=60 * SECOND_NS).age_ns


def test_the_file_does_not_grow_once_the_stores_are_full(
    tmp_path: Path, shape: WindowShape, live: Live
) -> None:
    memory, path = build(shape), tmp_path / "memory"
    live_through(memory, live, range(300))
    save(path, memory)
    size = path.stat().st_size
    live_through(memory, live, range(300, 900))
    save(path, memory)
    assert path.stat().st_size <= size * 1.05


def test_an_empty_memory_can_be_saved_and_loaded(tmp_path: Path, shape: WindowShape) -> None:
    memory = build(shape)
    save(tmp_path / "memory", memory)
    load_memory(tmp_path / "memory", memory.stores)
    assert len(memory.replay) == 0


def test_a_damaged_file_changes_no_store(tmp_path: Path, shape: WindowShape, live: Live) -> None:
    memory, same = build(shape), build(shape)
    path = tmp_path / "memory"
    live_through(memory, live, range(90))
    save(path, memory)
    path.write_bytes(path.read_bytes()[:-1])
    live_through(memory, live, range(90, 120))
    live_through(same, live, range(120))
    with pytest.raises(DamagedFile, match="damaged"):
        load_memory(path, memory.stores)
    assert_equal(memory, same)


def test_a_snapshot_of_other_sizes_is_refused_by_name_and_changes_no_store(
    tmp_path: Path, shape: WindowShape
) -> None:
    save(tmp_path / "memory", build(shape))
    with pytest.raises(ValueError, match="replay has capacity 16, this run has 8"):
        load_memory(tmp_path / "memory", build(shape, num_experiences=8).stores)
    other = dataclasses.replace(shape, num_channels=7)
    with pytest.raises(ValueError, match="replay has shape"):
        load_memory(tmp_path / "memory", build(other).stores)


def test_a_missing_store_raises_with_its_name(tmp_path: Path, shape: WindowShape) -> None:
    memory = build(shape)
    save_states(tmp_path / "memory", {"recall": memory.recall_store.state()})
    with pytest.raises(ValueError, match="has no 'replay', only recall"):
        load_memory(tmp_path / "memory", memory.stores)
