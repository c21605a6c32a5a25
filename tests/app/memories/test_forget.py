"""`sage memory forget`: what is left of a memory beside the slots in use, and what a run continues from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sage.app.memories.archive import MEMORY
from sage.durable import digest_of
from sage.memory.contexts import OnlineContexts
from sage.memory.stores.hmemory import Experience, HMemory
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.recovery import apply_rows
from sage.memory.stores.snapshot import save_states
from sage.runtime.snapshot import STATE
from sage.runtime.snapshot_about import ABOUT
from tests.app.memories.test_memories import EPOCH_NS, MARK, SHAPE, State, _append, ask, counts, live, make


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


def test_a_snapshot_without_a_memory_has_nothing_to_forget(tmp_path: Path, capsys) -> None:
    state = State(home=tmp_path, memory=build())
    save(state)
    done = ask(state, capsys, "forget", "time>2000-01-01")
    assert done["num_overwritten"] == 0
    assert sum(done["num_memories"].values()) == 0


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


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_what_is_deleted_is_what_is_reported(tmp_path: Path, capsys, has_snapshot: bool) -> None:
    """Replay has no salience, so that no condition on it holds there."""
    state = make(tmp_path, has_snapshot=has_snapshot)
    before = counts(state)
    done = ask(state, capsys, "forget", "salience>0.601")["num_memories"]
    after = counts(state)
    assert {name: before[name] - after[name] for name in before} == done
    assert (done["recall"], done["replay"]) == (39, 0)


@pytest.mark.parametrize("saliences", [(0.9, 0.1), (0.1, 0.9)])
def test_a_merged_memory_has_the_salience_that_is_shown(tmp_path: Path, capsys, saliences) -> None:
    state = State(home=tmp_path, memory=build())
    journal = Journal(state.journal)
    state.memory.recorder = lambda change: _append(journal, change)
    for second, salience in enumerate(saliences):
        state.memory.remember(
            Experience(
                window=None, key=np.ones(6), value=np.zeros(2), surprise=0.5, salience=salience, trust=0.5,
                context=0, time_ns=second,
            )
        )  # fmt: skip
    journal.close()
    ask(state, capsys, "forget", "salience<0.5")
    (left,) = ask(state, capsys, "search")
    assert (left["fields"]["id"], left["fields"]["salience"]) == (2, pytest.approx(0.9))
    assert ask(state, capsys, "forget", "salience>0.5")["num_memories"] == {"recall": 1}
    assert ask(state, capsys, "search") == []


def test_runs_after_a_forgotten_memory_lose_none(tmp_path: Path, capsys) -> None:
    """Without a snapshot: the next run's rows state the slots that it has."""
    state = make(tmp_path, has_snapshot=False)
    ask(state, capsys, "forget", "id=1")
    for begin in (100, 200):
        memory = build()
        contents = read_journal(state.journal)
        apply_rows(memory, contents.rows, epoch_ns=EPOCH_NS)
        store = memory.recall_store
        expected = [*range(2, 61), *range(61, 61 + (begin > 100) * 2)]
        assert sorted(store.origins.ids[: len(store)].tolist()) == expected
        with_journal = Journal(state.journal, contents=contents, start_after=contents.newest_sequence)
        memory.recorder = lambda change, journal=with_journal: _append(journal, change)
        live(memory, range(begin, begin + 2))
        with_journal.close()


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_a_forgotten_number_is_not_used_again(tmp_path: Path, capsys, has_snapshot: bool) -> None:
    state = make(tmp_path, has_snapshot=has_snapshot)
    ask(state, capsys, "forget", "episode=12")
    memory = build()
    if has_snapshot:
        memory.load(state.folder / MEMORY, elapsed_ns=10**12)
    else:
        apply_rows(memory, read_journal(state.journal).rows, epoch_ns=EPOCH_NS + 10**12)
    store = memory.recall_store
    assert int(store.origins.ids[: len(store)].max()) == 55
    live(memory, range(1))
    newest = store.origins.of(store.origins.last_slot)
    assert (newest.id, newest.episode) == (61, 13)


def test_a_memory_with_one_part_that_is_not_kept_is_forgotten(tmp_path: Path, capsys) -> None:
    """A condition with `!=` holds for a merged memory when it holds for one of its parts."""
    state = State(home=tmp_path, memory=build())
    journal = Journal(state.journal)
    state.memory.recorder = lambda change: _append(journal, change)
    for second in (0, 7):  # episodes 1 and 2
        state.memory.remember(
            Experience(
                window=None, key=np.ones(6), value=np.zeros(2), surprise=0.5, salience=0.5, trust=0.5,
                context=0, time_ns=second * 10**9,
            )
        )  # fmt: skip
    journal.close()
    for episode in (1, 2, 3):
        assert len(ask(state, capsys, "search", f"episode!={episode}")) == 1
    assert ask(state, capsys, "forget", "episode!=2")["num_memories"] == {"recall": 1}
    assert not ask(state, capsys, "search")


def test_a_number_of_a_store_that_is_emptied_is_not_used_again(tmp_path: Path, capsys) -> None:
    """Without a snapshot: the newest experience was in that store alone."""
    state = State(home=tmp_path, memory=build())
    journal = Journal(state.journal)
    state.memory.recorder = lambda change: _append(journal, change)
    live(state.memory, range(30))
    state.memory.remember(
        Experience(
            window=None, key=np.ones(6), value=np.zeros(2), surprise=0.5, salience=0.5, trust=0.5, context=0,
            time_ns=60 * 10**9,
        )
    )  # fmt: skip
    journal.close()
    ask(state, capsys, "forget", "store=recall")
    memory = build()
    apply_rows(memory, read_journal(state.journal).rows, epoch_ns=EPOCH_NS + 10**12)
    assert len(memory.recall_store) == 0
    assert (memory.newest_id, memory.episode_at(0)) == (31, 14)


def test_an_examined_window_of_a_later_run_keeps_its_block(tmp_path: Path, capsys) -> None:
    """A night compares blocks: windows of two runs, 1,000 s apart, are in different ones."""
    state = State(home=tmp_path, memory=build())
    live(state.memory, range(30))
    save(state)
    gap_ns = 1000 * 10**9
    later, journal = build(), Journal(state.journal)
    later.load(state.folder / MEMORY, elapsed_ns=gap_ns)
    later.recorder = lambda change: _append(journal, change, epoch_ns=EPOCH_NS + gap_ns)
    live(later, range(30))
    journal.close()
    recovered, left = build(), build()
    recovered.load(state.folder / MEMORY, elapsed_ns=2 * gap_ns)
    apply_rows(recovered, read_journal(state.journal).rows, epoch_ns=EPOCH_NS + 2 * gap_ns)
    ask(state, capsys, "forget", "store=recall")
    left.load(state.folder / MEMORY, elapsed_ns=2 * gap_ns)
    wanted, found = (each.examination.state().arrays for each in (recovered, left))
    assert (wanted["window.start_time_ns"] > -1.5 * gap_ns).any()
    for name in ("ids", "times_ns", "window.start_time_ns"):
        np.testing.assert_array_equal(found[name], wanted[name])
