"""Snapshots carry the solving weights and the trust in a teacher to the next run."""

from __future__ import annotations

import torch

from sage.runtime.config import SolvingConfig
from sage.runtime.snapshot import load_snapshot, save_snapshot


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
