"""Thinking: the audited source is invisible to its own judgement, the carry is reset when it must be, halting
ends it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.observation.model import ObservationModel
from sage.runtime.activity import NO_ACTIVITY
from sage.runtime.channels.layout import Layout
from sage.runtime.config import ModelSection
from sage.runtime.tick.reasoner import Percept, Reasoner, build_model, load_observation_model

SECOND = 1_000_000_000
CPU = torch.device("cpu")


def percept(layout: Layout, seed: int = 0, **changed: np.ndarray) -> Percept:
    generator = np.random.default_rng(seed)
    num_channels, num_sources = layout.num_channels, layout.num_sources
    drawn = {name: generator.normal(0, 1, num_channels) for name in ("values", "deltas", "skip", "cross")}
    all_present = {"present": np.ones(num_sources, bool), "fresh": np.ones(num_sources, bool)}
    return Percept(
        **(
            drawn
            | all_present
            | {"age_secs": np.full(num_sources, 0.1), "weight": np.ones(num_sources)}
            | changed
        )
    )


@pytest.fixture
def talkative(model: ObservationModel) -> ObservationModel:
    """Heads start at zero: drawn at random, every input shows in every output."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "head" in name or "readout" in name or name == "cross_weight":
            weight.data.normal_(0, 0.5, generator=generator)
    model.readout_bias.data[1] = -20  # never halts
    return model


@pytest.fixture
def reasoner(talkative: ObservationModel, layout: Layout, section: ModelSection) -> Reasoner:
    return Reasoner(talkative, layout, section, CPU)


def twin(reasoner: Reasoner, layout: Layout, section: ModelSection) -> Reasoner:
    other = Reasoner(build_model(layout, 0, section, 0), layout, section, CPU)
    other.adopt(reasoner.model)
    other.carry = reasoner.carry
    return other


def own_channels(layout: Layout, source: int) -> np.ndarray:
    return layout.source_of_channel == source


@pytest.mark.parametrize("audited", [0, 1])
def test_an_audited_source_does_not_change_its_own_estimate(reasoner, layout, section, audited: int):
    """Its past is out of it too: the audit's carry is the initial one."""
    own = own_channels(layout, audited)
    one, other = reasoner, twin(reasoner, layout, section)
    for tick in range(3):
        seen = percept(layout, tick)
        lied = {name: np.where(own, 50.0, getattr(seen, name)) for name in ("values", "deltas", "skip")}
        truth = one.think(seen, audited, 2, tick * SECOND)
        lie = other.think(percept(layout, tick, **lied), audited, 2, tick * SECOND)
        assert np.array_equal(truth.level[own], lie.level[own])
        assert not np.array_equal(truth.prediction[own], lie.prediction[own])
        assert (
            not np.array_equal(truth.level[~own], lie.level[~own])
            or audited is None
            or truth.level[~own].size
        )


def test_the_other_sources_change_the_estimate(reasoner, layout, section):
    other = twin(reasoner, layout, section)
    own = own_channels(layout, 0)
    seen = percept(layout)
    moved = np.where(own, seen.values, seen.values + 1.0)
    level = reasoner.think(seen, 0, 2, 0).level[own]
    assert not np.allclose(level, other.think(percept(layout, values=moved), 0, 2, 0).level[own])


def test_the_carry_continues_across_ticks_and_is_reset_after_a_gap(
    reasoner: Reasoner, layout: Layout, section: ModelSection
):
    seen = percept(layout)
    first = reasoner.think(seen, 0, 1, 0)
    second = reasoner.think(seen, 0, 1, SECOND)
    assert not np.array_equal(first.prediction, second.prediction)
    assert reasoner.num_resets == 0
    ttl_ns = int(section.carry_ttl_secs * SECOND)
    reasoner.think(seen, 0, 1, SECOND + ttl_ns)
    assert reasoner.num_resets == 0
    again = reasoner.think(seen, 0, 1, 2 * SECOND + 2 * ttl_ns)
    assert reasoner.num_resets == 1
    assert np.array_equal(again.prediction, first.prediction)


def test_a_readout_that_is_not_finite_is_zero_and_resets_the_carry(reasoner: Reasoner, layout: Layout):
    first = reasoner.think(percept(layout), 0, 1, 0)
    broken = percept(layout, values=np.full(layout.num_channels, np.nan))
    readout = reasoner.think(broken, 0, 1, 1)
    assert not readout.is_finite
    assert not readout.prediction.any()
    assert not readout.level.any()
    assert np.isnan(readout.value)
    assert reasoner.num_resets == 1
    assert readout.activity == NO_ACTIVITY
    after = reasoner.think(percept(layout), 0, 1, 2)
    assert after.is_finite
    assert np.array_equal(after.prediction, first.prediction)


def test_the_activity_is_the_change_of_each_state_in_the_last_segment(reasoner: Reasoner, layout: Layout):
    before = reasoner.carry
    first = reasoner.think(percept(layout), 0, 1, 0).activity
    for change, old, new in (
        (first.h_change, before.z_H, reasoner.carry.z_H),
        (first.l_change, before.z_L, reasoner.carry.z_L),
    ):
        assert change == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-4)
    reasoner.start_again(np.array([True]))
    second = reasoner.think(percept(layout), 0, 2, 1).activity
    assert second != first  # of the second segment, which goes on from the first one's states


def test_segments_are_counted_and_bounded(reasoner: Reasoner, layout: Layout):
    assert reasoner.think(percept(layout), 0, 3, 0).num_segments == 3
    reasoner.model.readout_bias.data[1] = 20  # sure to halt
    reasoner.model.readout_weight.data[1] = 0
    assert reasoner.think(percept(layout), 0, 3, 0).num_segments == 1


def test_burn_in_gives_the_carry_of_thinking_the_same_ticks(reasoner: Reasoner, stretches):
    window = stretches(1)
    seen = {name: getattr(window, name) for name in Percept.__dataclass_fields__}
    for tick in range(window.num_ticks + 1):
        now = Percept(**{name: array[0, tick].numpy() for name, array in seen.items()})
        reasoner.think(now, 0, 2, tick)
    lived = reasoner.carry
    reasoner.reset()
    reasoner.burn_in(window, 2)
    assert torch.allclose(reasoner.carry.z_H, lived.z_H, atol=1e-5)
    assert torch.allclose(reasoner.carry.z_L, lived.z_L, atol=1e-5)
    reasoner.reset()
    initial = reasoner.carry
    reasoner.burn_in(None)
    assert reasoner.carry is initial


def test_adopted_weights_start_with_the_initial_carry(
    reasoner: Reasoner, layout: Layout, section: ModelSection
):
    reasoner.think(percept(layout), 0, 1, 0)
    other = build_model(layout, 0, section, seed=9)
    model = reasoner.model
    reasoner.adopt(other)
    assert reasoner.model is model, "whoever holds the live model holds the new weights"
    assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in other.state_dict().items())
    assert torch.equal(reasoner.carry.z_H, other.initial_carry(1, CPU).z_H)


def test_equal_seeds_are_equal_models(layout: Layout, section: ModelSection):
    one, other, third = (build_model(layout, 2, section, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], third[name]) for name in one)


def test_a_file_without_a_model_raises(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="model"):
        load_observation_model(path)
