"""A model with more heads starts from the weights of one with fewer."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.checkpoint.warm_start import warm_start
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.model.hrm import HRM

ANSWERS = ModelConfig.preset("sudoku", hidden_size=16)


def built(config: ModelConfig, seed: int) -> HRM:
    return HRM(config, generator=torch.Generator().manual_seed(seed))


def test_nets_and_embeddings_are_copied_and_new_heads_stay() -> None:
    source, model = built(ANSWERS, 1), built(dataclasses.replace(ANSWERS, heads="deduction"), 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    warm_start(model, source.state_dict(), name="source")
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in source.state_dict().items())
    heads = [name for name in own if "deduction_heads" in name]
    assert heads
    assert all(torch.equal(own[name], before[name]) for name in heads)


@pytest.mark.parametrize(
    ("source", "model", "message"),
    [
        (ANSWERS, dataclasses.replace(ANSWERS, hidden_size=32), r"has shape \(16,\), here \(32,\)"),
        (dataclasses.replace(ANSWERS, heads="deduction"), ANSWERS, "has no place in this model"),
        (dataclasses.replace(ANSWERS, L_layers=1, H_layers=1), ANSWERS, r"it has no inner\.L_level"),
    ],
)
def test_a_model_of_other_sizes_is_refused_in_one_line(
    source: ModelConfig, model: ModelConfig, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        warm_start(built(model, 0), built(source, 0).state_dict(), name="source")
