"""`sage memory forget`: what is left of a memory beside the slots in use, and what a run continues from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from sage.app.memories.archive import MEMORY
from sage.durable import digest_of
from sage.memory.contexts import OnlineContexts
from sage.memory.stores.hmemory import HMemory
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.snapshot import save_states
from sage.runtime.snapshot import STATE
from sage.runtime.snapshot_about import ABOUT
from tests.app.memories.test_memories import EPOCH_NS, MARK, SHAPE, State, ask, live, make


def build(*, num_experiences: int = 64) -> HMemory:
    recall = RecallStore(64, 6, 2)
    return HMemory.build(
        SHAPE, recall, num_experiences=num_experiences, examined_fraction=0.2, block_secs=5.0, seed=1
    )


def save(state: State) -> None:
    """A snapshot of the state's memory, without a journal."""
    state.folder.mkdir(parents=True)
    save_states(state.folder / MEMORY, {name: each.state() for name, each in state.memory.stores.items()})
    about = {
        "format": 2, "tick": 600, "weights_version": 3, "saved_ns": EPOCH_NS, "epoch_ns": EPOCH_NS,
        "journal": 0, "digests": {MEMORY: digest_of((state.folder / MEMORY).read_bytes())},
    }  # fmt: skip
    (state.folder / ABOUT).write_text(json.dumps(about))


def with_freed_windows(home: Path) -> tuple[State, list[int]]:
    """And the seconds whose window is in the file and in no store."""
    state = State(home=home, memory=build(num_experiences=32))
    for begin in (0, 60):
        live(state.memory, range(begin, begin + 60))
        state.memory.mark_slept()
    save(state)
    stores = (state.memory.replay, state.memory.examination)
    used = {time_ns // 10**9 for store in stores for time_ns in store.times_ns.tolist()}
    freed = [each for each in range(120) if each not in used and state.files_with(MARK + each)]
    assert freed
    return state, freed


def test_a_window_that_a_night_has_freed_leaves_the_snapshot(tmp_path: Path, capsys) -> None:
    state, _ = with_freed_windows(tmp_path)
    assert ask(state, capsys, "forget", "time>2000-01-01")["num_overwritten"] > 0
    assert not [each for each in range(120) if state.files_with(MARK + each)]


def test_a_freed_window_alone_is_found(tmp_path: Path, capsys) -> None:
    state, freed = with_freed_windows(tmp_path)
    terms = ("store=examination", f"id={freed[0] + 1}")
    planned = ask(state, capsys, "forget", *terms, "--dry-run")
    done = ask(state, capsys, "forget", *terms)
    assert {**planned, "is_dry": False} == done
    assert (done["num_memories"]["examination"], done["num_overwritten"]) == (0, 1)
    assert not state.files_with(MARK + freed[0])
    assert ask(state, capsys, "forget", *terms)["num_overwritten"] == 0


def test_the_centre_of_a_context_is_computed_without_the_forgotten_key(tmp_path: Path, capsys) -> None:
    state = make(tmp_path)
    contexts = OnlineContexts(8, 6)
    for second in (59, 57, 58):  # memory.remember was given the contexts 2, 0, 1
        contexts.assign(np.random.default_rng(second).standard_normal(6))
    before = contexts.state()["centres"]
    assert len(before) == 3
    save_file({f"contexts.{name}": array for name, array in contexts.state().items()}, state.folder / STATE)
    about = json.loads((state.folder / ABOUT).read_text())
    about["digests"][STATE] = digest_of((state.folder / STATE).read_bytes())
    (state.folder / ABOUT).write_text(json.dumps(about))
    ask(state, capsys, "forget", "id=60")  # of context 2
    after = load_file(state.folder / STATE)
    np.testing.assert_array_equal(after["contexts.centres"][:2], before[:2])
    keys = state.memory.recall_store.state().arrays["keys"][2:59:3]
    mean = keys.mean(axis=0)
    np.testing.assert_allclose(after["contexts.centres"][2], mean / np.linalg.norm(mean), atol=1e-6)
    assert after["contexts.counts"].tolist() == [1, 1, 19]
    ask(state, capsys, "forget", "context=2")
    assert not load_file(state.folder / STATE)["contexts.centres"][2].any()
