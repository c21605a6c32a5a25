"""Snapshots carry the solving weights and the trust in a teacher to the next run."""

from __future__ import annotations

import dataclasses

import torch

from sage.runtime.config import SolvingConfig
from sage.runtime.snapshot import capture_snapshot, load_snapshot, save_snapshot, write_snapshot


def is_equal(one, two):
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_the_next_run_goes_on_with_the_weights_and_the_trust(live, tmp_path):
    life = live(teacher={"lying": 0.5})
    life.loop.run(num_ticks=10)
    save_snapshot(tmp_path / "mind", life.loop)
    other = live(SolvingConfig())
    weights = life.solver.family.weights()
    assert not is_equal(weights, other.solver.family.weights())
    assert "continued from tick 10" in load_snapshot(tmp_path / "mind", other.loop)
    assert is_equal(weights, other.solver.family.weights())
    assert other.solver.record.teacher.trust == life.solver.record.teacher.trust < 0.9


def test_weights_of_another_model_leave_the_stream_as_it_is(live, tmp_path):
    life = live()
    life.loop.run(num_ticks=2)
    save_snapshot(tmp_path / "mind", life.loop)
    other = live(SolvingConfig(hidden_size=16))
    before = {name: tensor.clone() for name, tensor in other.solver.family.weights().items()}
    assert "continued from tick 2" in load_snapshot(tmp_path / "mind", other.loop)
    assert is_equal(before, other.solver.family.weights())
    assert [event.kind for event in other.recorder.events] == ["weights"]


def solving_of(life):
    return life.recorder.ticks[-1].facts.solving[0]


def test_the_next_run_goes_on_with_the_counts_and_at_the_level(live, tmp_path):
    """The loop is not closed: as after a kill -9, only the snapshot is there."""
    levels = ({"size": 4}, {"size": 6})
    life = live(levels=levels)
    while life.world.level == 0 and life.loop.tick_count < 400:
        life.loop.run(num_ticks=10)
    assert life.world.level == 1
    save_snapshot(tmp_path / "mind", life.loop)
    before = solving_of(life)
    assert before.levels[0].num_right >= 48
    other = live(levels=levels, resumes_from=tmp_path / "mind")
    other.loop.run(num_ticks=1)
    after = solving_of(other)
    assert other.world.level == after.level == 1
    assert after.levels[0] == before.levels[0]
    assert after.board_number > before.board_number
    assert [event for event in other.recorder.events if event.kind == "level"] == []


def test_a_stream_of_other_levels_begins_at_its_first(live, tmp_path):
    life = live(levels=({"size": 4}, {"size": 6}))
    life.loop.run(num_ticks=20)
    save_snapshot(tmp_path / "mind", life.loop)
    other = live(levels=({"size": 4},), resumes_from=tmp_path / "mind")
    other.loop.run(num_ticks=1)
    assert other.world.level == 0
    assert solving_of(other).levels[0].num_answered == 0
    messages = [event.message for event in other.recorder.events]
    assert any("its levels were 4x4, 6x6" in message for message in messages), messages


def learned(life, by=0.5):
    """Weights that the loop has learned: others than those given."""
    weights = {name: tensor + by for name, tensor in life.solver.family.weights().items()}
    life.solver.adopt(weights)
    return weights


def weights_events(life):
    life.loop.run(num_ticks=1)
    events = [event for report in life.recorder.ticks for event in report.facts.events]
    return [event.message for event in events if event.kind == "weights"]


def test_given_weights_win_over_a_snapshot_that_was_begun_with_others(live, tmp_path):
    home = tmp_path / "mind"
    life = live(SolvingConfig(), teacher={"lying": 0.5})
    life.loop.run(num_ticks=10)
    save_snapshot(home, life.loop)
    given = live().solver.family.weights()
    other = live(resumes_from=home)
    assert is_equal(given, other.solver.family.weights())
    assert is_equal(given, other.learner.opened)
    assert other.solver.record.teacher.trust == life.solver.record.teacher.trust < 0.9
    text = "the weights of solving.weights are taken in the place of those of the snapshot"
    assert weights_events(other) == [text]


def test_what_was_learned_from_the_given_weights_goes_on(live, tmp_path):
    """Also in a run that is given none, and after it."""
    home = tmp_path / "mind"
    life = live()
    life.loop.run(num_ticks=2)
    weights = learned(life)
    save_snapshot(home, life.loop)
    for section in (None, SolvingConfig(), None):
        other = live(section, resumes_from=home)
        assert is_equal(weights, other.solver.family.weights())
        assert weights_events(other) == []
        weights = learned(other)
        save_snapshot(home, other.loop)


def test_a_snapshot_of_an_earlier_version_goes_on_and_the_next_has_the_digest(live, tmp_path):
    home = tmp_path / "mind"
    life = live(SolvingConfig())
    life.loop.run(num_ticks=2)
    weights = learned(life)
    snapshot = capture_snapshot(life.loop)
    before = {name: array for name, array in snapshot.solving.items() if name != "riddles/given"}
    assert len(before) == len(snapshot.solving) - 1
    write_snapshot(home, dataclasses.replace(snapshot, solving=before))
    other = live(resumes_from=home)
    assert is_equal(weights, other.solver.family.weights())
    (text,) = weights_events(other)
    assert text.startswith("the snapshot's are taken in the place of those of solving.weights")
    save_snapshot(home, other.loop)
    again = live(resumes_from=home)
    assert is_equal(weights, again.solver.family.weights())
    assert weights_events(again) == []
