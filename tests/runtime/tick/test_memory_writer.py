"""What was examined is never replayed: no instant of the one lies in the other, however long it was lived."""

from __future__ import annotations

import numpy as np
import pytest

from sage.app.session.summary import SessionSummary
from sage.app.terminal.errors import UserError
from sage.memory.salience import MIN_VALUES
from sage.memory.stores import key_index, recall
from sage.runtime.sleep.between_ticks import gather_night
from sage.runtime.snapshot import load_snapshot, save_snapshot
from sage.runtime.tick.memory_writer import _entity_memory


def spans(window, period_ns: int) -> list[tuple[int, int]]:
    starts = window.start_time_ns.numpy()
    return [(int(start), int(start) + window.num_ticks * period_ns) for start in starts]


def test_examined_windows_are_never_replayed(start, settings):
    """Salient or regular, kept or offered: 40 seconds of life, blocks of one."""
    run = start(
        settings(
            practice={"enabled": False, "window_ticks": 8}, memory={"write_rate": 0.5, "num_experiences": 512}
        )
    )
    run.loop.run(num_ticks=800)
    night = gather_night(run.loop.memory_writer.memory, run.loop.reasoner.model)
    assert night is not None
    replayed, examined = spans(night.replay, 50_000_000), spans(night.examined, 50_000_000)
    assert len(replayed) > 8
    assert len(examined) > 5
    assert not [
        (one, other) for one in replayed for other in examined if one[0] <= other[1] and other[0] <= one[1]
    ]


def test_a_night_needs_something_to_replay_and_to_examine(start, settings):
    run = start(settings())
    assert gather_night(run.loop.memory_writer.memory, run.loop.reasoner.model) is None


def test_after_a_night_the_new_windows_are_old(start, settings):
    run = start(settings(practice={"enabled": False, "window_ticks": 8}))
    run.loop.run(num_ticks=400)
    memory_writer, model = run.loop.memory_writer, run.loop.reasoner.model
    night = gather_night(memory_writer.memory, model)
    assert night is not None
    assert night.is_new.all()
    memory_writer.memory.mark_slept()
    again = gather_night(memory_writer.memory, model)
    assert again is not None
    assert not again.is_new.any()
    assert np.array_equal(again.examined.start_tick.numpy(), night.examined.start_tick.numpy())


def test_a_report_states_how_long_salience_warms_up(start, settings):
    summary = SessionSummary()
    run = start(settings(), instruments=(summary,))
    missing = []
    for _ in range(120):
        run.loop.run(num_ticks=1)
        missing.append(summary.figures().memory.num_missing)
    assert missing[0] == MIN_VALUES
    assert missing[-1] == 0
    assert missing == sorted(missing, reverse=True)
    assert set(missing) == set(range(MIN_VALUES + 1))
    off = start(settings(memory={"enabled": False}))
    assert off.loop.tick().facts.memory.num_missing == 0


INDEXED = {"num_experiences": 64, "num_recall": 64, "write_rate": 0.9, "index": "approximate"}


def test_a_run_with_an_index_of_recall_is_deterministic_and_restored(start, settings, tmp_path, monkeypatch):
    pytest.importorskip("usearch")
    monkeypatch.setattr(recall, "INDEX_FROM", 16)
    first, second = (start(settings(memory=INDEXED)) for _ in range(2))
    for run in (first, second):
        run.loop.run(num_ticks=600)
    stores = [run.loop.memory_writer.memory.recall_store for run in (first, second)]
    assert stores[0]._current_index() is not None
    for name, array in stores[0].state().arrays.items():
        np.testing.assert_array_equal(array, stores[1].state().arrays[name])
    save_snapshot(tmp_path / "home", first.loop)
    again = start(settings(memory=INDEXED))
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    restored = again.loop.memory_writer.memory.recall_store
    assert len(restored) == len(stores[0]) >= 16
    index = restored._current_index()
    assert index is not None
    key = stores[0].state().arrays["keys"][3]
    assert 3 in index.candidates(key, 8)
    again.loop.run(num_ticks=20)
    exact = start(settings(memory={**INDEXED, "index": "exact"}))
    assert "continued" in load_snapshot(tmp_path / "home", exact.loop)
    assert exact.loop.memory_writer.memory.recall_store._current_index() is None


def test_an_index_without_a_library_is_refused_in_one_line(start, settings, monkeypatch):
    monkeypatch.setattr(key_index, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="neither hnswlib nor usearch is installed") as caught:
        start(settings(memory=INDEXED))
    assert "\n" not in str(caught.value)


def test_weights_that_a_night_taught_are_reported_and_saved(start, settings, tmp_path):
    run = start(settings())
    writer = run.loop.memory_writer
    before = run.loop.tick().facts
    assert before.memory.salience_weights == ()
    assert writer.learn_salience() is None
    usefulness, generator = writer.memory.recall_store.usefulness, np.random.default_rng(0)
    usefulness.scores[:] = generator.uniform(0, 1, usefulness.scores.shape)
    usefulness.num_judged[:] = 4
    usefulness.num_useful[:] = 4 * (usefulness.scores[:, 2] > 0.5)
    learned = writer.learn_salience()
    assert learned is not None
    assert learned.weights.argmax() == 2
    assert run.loop.tick().facts.memory.salience_weights == pytest.approx(learned.weights)
    save_snapshot(tmp_path / "home", run.loop)
    again = start(settings())
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    assert again.loop.tick().facts.memory.salience_weights == pytest.approx(learned.weights)


def test_contexts_and_who_was_right_are_found_in_the_loop_and_saved(start, settings, tmp_path):
    config = settings(3, memory={"num_contexts": 4, "num_experiences": 64, "num_recall": 64})
    run = start(config)
    writer = run.loop.memory_writer
    run.loop.run(num_ticks=210)
    writer.note_teacher("sudoku: teacher", 4, 3)
    writer.note_teacher("sudoku: teacher", 4, 3)
    names = {record.name for record in writer.entities.records()}
    assert {"s0", "s1", "s2", "sudoku: teacher"} <= names
    (teacher,) = [each for each in writer.entities.records() if each.name == "sudoku: teacher"]
    assert (round(teacher.right), round(teacher.wrong)) == (1, 3)
    assert 1 < len(writer.contexts) <= 4
    save_snapshot(tmp_path / "home", run.loop)
    again = start(config)
    assert "continued" in load_snapshot(tmp_path / "home", again.loop)
    assert again.loop.memory_writer.entities.records() == writer.entities.records()
    assert len(again.loop.memory_writer.contexts) == len(writer.contexts)


def test_novelty_is_one_minus_the_best_match_in_memory(start, settings):
    run = start(settings(3))
    store = run.loop.memory_writer.memory.recall_store
    seen = []

    class Look:
        def on_tick(self, report):
            seen.append((report.facts, store.last_recalled))

        def on_event(self, event):
            pass

        def on_sleep(self, outcome):
            pass

    run.loop.observe(Look())
    run.loop.run(num_ticks=20)
    assert len(store) == 0
    assert all(np.isnan(source.novelty) for facts, _ in seen for source in facts.sources)
    key = np.zeros(32)
    key[0] = 1.0
    store.write(key, np.zeros(16), salience=0.5, trust=0.5, time_ns=0, context=0)
    seen.clear()
    run.loop.run(num_ticks=20)
    found = [
        (source.novelty, recalled.similarity)
        for facts, recalled in seen
        for source in facts.sources
        if source.is_attended
    ]
    assert len({novelty for novelty, _ in found}) > 10
    assert [each for each, _ in found] == pytest.approx([1 - max(cosine, 0.0) for _, cosine in found])
    assert all(np.isnan(s.novelty) for facts, _ in seen for s in facts.sources if not s.is_fresh)


def test_the_entity_memory_has_room_for_every_source() -> None:
    entities, names = _entity_memory(1, 300), [f"source{index}" for index in range(300)]
    for _ in range(2):
        entities.judge(names, np.ones(300))
    assert len(entities) == 300
    assert all(record.right > 1.9 for record in entities.records())
