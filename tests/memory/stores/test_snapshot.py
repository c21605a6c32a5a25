"""A memory that was saved and loaded goes on exactly as the one that was not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sage.durable import DamagedFile
from sage.memory.salience import Salience
from sage.memory.stores.hmemory import Experience, HMemory
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.snapshot import load_memory, save_memory
from sage.memory.stores.state import Snapshotted
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


def live_through(memory: HMemory, salience: Salience, live: Live, seconds: range) -> list[object]:
    """A life that depends on its second alone; what the memory said of each."""
    said: list[object] = []
    for second in seconds:
        generator = np.random.default_rng(second)
        one, two, three, four = generator.random((4, 2))
        valid = np.ones(2, bool)
        scores = salience.appraise(
            surprise=one, novelty=two, arousal=three, reward_error=0.1, conflict=four, valid=valid
        )
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
        said += [
            scores.is_open,
            scores.gate,
            memory.remember(experience),
            recalled.value.tolist(),
            recalled.age_ns,
        ]
        if second % 70 == 69:
            memory.mark_slept()
    return said


def stores_of(memory: HMemory, salience: Salience) -> dict[str, Snapshotted]:
    return {**memory.stores, "salience": salience}


@pytest.mark.parametrize("carry_dtype", [torch.float32, torch.float16])
def test_a_loaded_memory_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, shape: WindowShape, live: Live, carry_dtype: torch.dtype
) -> None:
    memory, salience = build(shape, carry_dtype=carry_dtype), Salience(2)
    live_through(memory, salience, live, range(200))
    save_memory(tmp_path / "memory", stores_of(memory, salience))
    loaded, loaded_salience = build(shape, carry_dtype=carry_dtype), Salience(2)
    load_memory(tmp_path / "memory", stores_of(loaded, loaded_salience))
    later = range(200, 320)
    np.testing.assert_equal(
        live_through(loaded, loaded_salience, live, later), live_through(memory, salience, live, later)
    )
    for ours, theirs in (
        (loaded.replay.all(), memory.replay.all()),
        (loaded.examination.new(), memory.examination.new()),
        (loaded.examination.old(), memory.examination.old()),
    ):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours.values, theirs.values)
        assert torch.equal(ours.z_H, theirs.z_H)
    ours, theirs = (dataclasses.replace(m.statistics(), num_embargoed=0) for m in (loaded, memory))
    assert ours == theirs


def test_a_new_run_takes_the_past_to_lie_before_its_epoch(
    tmp_path: Path, shape: WindowShape, live: Live
) -> None:
    memory = build(shape)
    live_through(memory, Salience(2), live, range(60))
    memory.save(tmp_path / "memory")
    loaded = build(shape)
    loaded.load(tmp_path / "memory")
    np.testing.assert_array_equal(loaded.recall_store.times_ns, memory.recall_store.times_ns - 59 * SECOND_NS)
    np.testing.assert_array_equal(loaded.replay.times_ns, memory.replay.times_ns - 59 * SECOND_NS)
    key = np.random.default_rng(0).standard_normal(6)
    assert loaded.recall(key, time_ns=SECOND_NS).age_ns == memory.recall(key, time_ns=60 * SECOND_NS).age_ns


def test_the_file_does_not_grow_with_the_length_of_life(
    tmp_path: Path, shape: WindowShape, live: Live
) -> None:
    memory, salience = build(shape), Salience(2)
    live_through(memory, salience, live, range(300))
    young = save_memory(tmp_path / "memory", stores_of(memory, salience))
    live_through(memory, salience, live, range(300, 900))
    assert save_memory(tmp_path / "memory", stores_of(memory, salience)) <= young * 1.05
    assert (tmp_path / "memory").stat().st_size < memory.statistics().num_bytes + 200_000


def test_an_empty_memory_can_be_saved_and_loaded(tmp_path: Path, shape: WindowShape) -> None:
    memory = build(shape)
    save_memory(tmp_path / "memory", memory.stores)
    load_memory(tmp_path / "memory", memory.stores)
    assert memory.statistics().num_replay == 0


def test_a_damaged_snapshot_changes_no_store(tmp_path: Path, shape: WindowShape, live: Live) -> None:
    memory, salience = build(shape), Salience(2)
    live_through(memory, salience, live, range(50))
    path = tmp_path / "memory"
    save_memory(path, memory.stores)
    path.write_bytes(path.read_bytes()[:-1])
    before = memory.statistics()
    with pytest.raises(DamagedFile, match="damaged"):
        load_memory(path, memory.stores)
    assert memory.statistics() == before


def test_a_snapshot_of_other_sizes_is_refused_by_name_and_changes_no_store(
    tmp_path: Path, shape: WindowShape
) -> None:
    save_memory(tmp_path / "memory", build(shape).stores)
    with pytest.raises(ValueError, match="replay has capacity 16, this run has 8"):
        load_memory(tmp_path / "memory", build(shape, num_experiences=8).stores)
    other = dataclasses.replace(shape, num_channels=7)
    with pytest.raises(ValueError, match="replay has shape"):
        load_memory(tmp_path / "memory", build(other).stores)


def test_a_store_that_is_not_in_the_snapshot_is_named(tmp_path: Path, shape: WindowShape) -> None:
    memory = build(shape)
    save_memory(tmp_path / "memory", memory.stores)
    with pytest.raises(ValueError, match="salience"):
        load_memory(tmp_path / "memory", stores_of(memory, Salience(2)))
