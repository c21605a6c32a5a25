"""Which weights practice and sleep change, in each of the settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sage.runtime.config import Trains
from sage.runtime.sleep.consolidate import Night, SleepPlan, sleep_on
from sage.runtime.sleep.levels import trained_weights

PLAN = SleepPlan(
    num_steps=2,
    batch_size=4,
    learning_rate=1e-2,
    burn_in=2,
    num_segments=1,
    mask_probability=0.1,
    min_examined=64,
    seed=3,
    tick=100,
)


def test_the_two_levels_are_all_weights_and_share_none(model):
    low, high, both = (
        {id(weight) for weight in trained_weights(model, trains)} for trains in ("L", "H", "both")
    )
    assert low
    assert high
    assert not low & high
    assert low | high == both == {id(weight) for weight in model.parameters()}


@pytest.mark.parametrize("trains", ["L", "H", "both"])
def test_a_night_changes_the_weights_it_trains_and_no_others(trains: Trains, model, stretches):
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():  # the heads of a fresh model are 0, and no gradient passes them
        weight.data.add_(0.05 * torch.randn(weight.shape, generator=generator))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    night = Night(
        model=model, replay=stretches(16, 1), examined=stretches(16, 2), is_new=np.ones(16, dtype=bool)
    )
    sleep_on(night, dataclasses.replace(PLAN, trains=trains))
    moved = {
        name.startswith("H_level.")
        for name, weight in model.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert moved == {"L": {False}, "H": {True}, "both": {False, True}}[trains]
