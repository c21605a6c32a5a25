"""Other libraries' words, as written there."""

from __future__ import annotations

import pytest
import torch

from sage.hrm_core.config.model import ContinuousFront, ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM, TokenBatch


def test_controller_and_worker_are_h_and_l() -> None:
    model = HRM(controller_dim=512, worker_dim=256, num_layers=4, num_cycles=6)
    config = model.config
    assert (config.hidden_size, config.L_size, config.H_layers, config.L_layers, config.H_cycles) == (
        512,
        256,
        4,
        4,
        6,
    )
    assert config.front == TokenFront(vocab_size=11, seq_len=81)
    assert model.inner.H_to_L.weight.shape == (256, 512)


def test_a_sequence_model_maps_vectors_to_vectors() -> None:
    model = HRM(input_dim=1, h_dim=64, l_dim=32, output_dim=10).eval()
    assert model.config.front == ContinuousFront(input_dim=1, output_dim=10)
    inputs = torch.randn(3, 20, 1, generator=torch.Generator().manual_seed(0))
    batch = TokenBatch(inputs=inputs, labels=torch.zeros(3, 20, 10), puzzle_ids=torch.full((3,), -1))
    state, output = model(model.initial_state(batch), batch)
    assert output.logits is not None
    assert output.logits.shape == (3, 20, 10)
    assert (state.carry.z_H.shape, state.carry.z_L.shape) == ((3, 20, 64), (3, 20, 32))


def test_one_width_needs_no_bridge() -> None:
    assert not HRM(controller_dim=32).inner.has_bridges


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"controller_dim": 64, "wheels": 4}, "wheels"),
        ({"input_dim": 1, "output_dim": 2}, "h_dim"),
        ({"controller_dim": 0}, "controller_dim=0"),
        ({"controller_dim": 63}, "63"),
        ({}, "ModelConfig"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_word_that_is_not_understood_is_named(words: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        HRM(**words)


def test_words_beside_a_config_are_refused() -> None:
    with pytest.raises(ValueError, match="beside a config"):
        HRM(ModelConfig.preset("tiny"), num_layers=2)


def test_a_name_in_place_of_a_config_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"ModelConfig\.preset"):
        HRM("hrm-27m")  # type: ignore[arg-type]
