"""The keyword arguments of earlier HRM packages, as their README has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage.errors import InputError
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
    ("words", "expected"),
    [
        ({"controller_dim": 64, "wheels": 4}, "wheels"),
        ({"input_dim": 1, "output_dims": 2}, "output_dims: unknown keyword"),
        ({"controller_dim": 0}, "controller_dim=0"),
        ({"controller_dim": 63}, "63"),
        ({}, "ModelConfig"),
        ({"depth": 3}, "depth"),
    ],
)
def test_an_unknown_keyword_is_named(words: dict[str, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        HRM(**words)


def test_keywords_beside_a_config_are_refused() -> None:
    with pytest.raises(ValueError, match="beside a config"):
        HRM(ModelConfig.preset("tiny"), num_layers=2)


def test_a_name_in_place_of_a_config_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"ModelConfig\.preset"):
        HRM("hrm-27m")  # type: ignore[arg-type]


def test_one_tensor_in_is_one_tensor_out() -> None:
    x = torch.randn(3, 20, 1, generator=torch.Generator().manual_seed(0))
    assert HRM(input_dim=1, h_dim=64, l_dim=32, output_dim=10)(x).shape == (3, 20, 10)
    assert HRM(input_dim=1)(x).shape == (3, 20, 1)


def test_a_float_input_makes_a_lazy_projection(tmp_path: Path) -> None:
    model = HRM(controller_dim=64, worker_dim=32, num_layers=1, num_cycles=1)
    x = torch.randn(4, 100, 128, generator=torch.Generator().manual_seed(0))
    y = model(x, max_segments=2)
    assert y.shape == (4, 100, 11)
    y.square().mean().backward()
    assert model.inner.embed_inputs.weight.shape == (64, 128)
    assert model.inner.embed_inputs.weight.grad is not None
    model.save_pretrained(tmp_path)
    assert torch.equal(HRM.from_pretrained(tmp_path)(x, max_segments=2), y)
    with pytest.raises(InputError, match=r"this model takes \(rows, steps, 128\)"):
        model(x[..., :5])


def test_a_model_of_symbols_takes_integers_and_no_floats() -> None:
    model = HRM(ModelConfig.preset("tiny"))
    assert model(torch.ones(2, 81, dtype=torch.int64), max_segments=2).shape == (2, 81, 11)
    with pytest.raises(InputError, match="takes integers"):
        model(torch.ones(2, 81, 3))


def test_forward_hrm_counts_the_steps_of_each_row() -> None:
    model = HRM(input_dim=2, output_dim=3)
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    result = model.forward_hrm(x, max_segments=3)
    assert result["steps"].tolist() == [3, 3]  # an untrained Q head does not halt
    assert not result["halted"].any()
    with torch.no_grad():
        model.inner.q_head.bias[0] = 5.0
    result = model.forward_hrm(x, max_segments=3)
    assert result["steps"].tolist() == [1, 1]
    assert result["halted"].all()
    assert torch.equal(result["output"], model(x, max_segments=1))
