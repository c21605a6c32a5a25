"""A ModelConfig that exists can be built; a mistake names its field."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sage.hrm_core.config.model import ModelConfig, ObservationFront, TokenFront

FRONT = ObservationFront(source_dims=(3, 1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_heads": 3}, "num_heads"),
        ({"L_cycles": 0}, "L_cycles"),
        ({"hidden_size": 1e30}, "hidden_size is 1e\\+30: give a whole number"),
        ({"hidden_size": 10**20}, "hidden_size"),
        ({"hidden_size": "nan"}, "hidden_size"),
        ({"L_layers": True}, "L_layers"),
        ({"mixer": "convolution"}, "mixer"),
        ({"mixer": "grid"}, "mixer"),
        ({"gradient": "half"}, "gradient"),
        ({"halt_exploration": 1.5}, "halt_exploration"),
        ({"damping": 1.0}, "damping"),
        ({"shares_nets": True, "H_layers": 2}, "H_layers"),
        ({"expansion": 0.0}, "expansion"),
        ({"gate": "tanh"}, "gate"),
        ({"mixer_norm": "tokens"}, "mixer_norm"),
        ({"gradient": 0}, "gradient"),
        ({"gradient": 5}, "gradient"),
        ({"L_hidden_size": 40}, "L_hidden_size"),
        ({"L_hidden_size": 32, "shares_nets": True}, "L_hidden_size"),
        ({"is_causal": True}, "is_causal"),
        ({"is_causal": True, "mixer": "mlp"}, "is_causal"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        ModelConfig.preset("loop", front=FRONT, **change)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"vocab_size": 0, "seq_len": 4}, "vocab_size"),
        ({"vocab_size": 2, "seq_len": 4.5}, "seq_len"),
        ({"vocab_size": 2, "seq_len": 4, "num_puzzle_ids": -1}, "num_puzzle_ids"),
        ({"vocab_size": 2, "seq_len": 4, "positions": "sine"}, "positions"),
        ({"vocab_size": 2, "seq_len": 4, "puzzle_tokens": 1}, "puzzle_tokens"),
        ({"vocab_size": 2, "seq_len": 4, "puzzle_tokens": 1, "puzzle_emb_ndim": 8}, "num_puzzle_ids"),
    ],
)
def test_a_wrong_token_front_is_named(settings: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        TokenFront(**settings)  # type: ignore[arg-type]


def test_a_source_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="source_dims"):
        ObservationFront(source_dims=(3, 0))


def test_a_puzzle_embedding_wider_than_its_tokens_is_refused() -> None:
    front = TokenFront(vocab_size=5, seq_len=4, num_puzzle_ids=2, puzzle_emb_ndim=100, puzzle_tokens=1)
    with pytest.raises(ValueError, match="puzzle_emb_ndim"):
        ModelConfig.preset("loop", front=front)


def test_an_added_puzzle_embedding_is_no_wider_than_a_cell() -> None:
    front = TokenFront(vocab_size=5, seq_len=4, num_puzzle_ids=2, puzzle_emb_ndim=64, positions="none")
    assert ModelConfig.preset("small", front=front, mixer="grid").front.num_tokens == 4
    wide = TokenFront(vocab_size=5, seq_len=4, num_puzzle_ids=2, puzzle_emb_ndim=65, positions="none")
    with pytest.raises(ValueError, match="puzzle_emb_ndim is 65: at most 64 fit"):
        ModelConfig.preset("small", front=wide, mixer="grid")


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="hrm-27m"):
        ModelConfig.preset("hrm-1t")


def test_a_preset_without_a_front_asks_for_one() -> None:
    with pytest.raises(ValueError, match="front"):
        ModelConfig.preset("loop")


@pytest.mark.parametrize("name", ["hrm-27m", "trm-7m", "trm-mlp-5m"])
def test_plain_values_survive_json(name: str) -> None:
    config = ModelConfig.preset(name)
    assert ModelConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config


def test_an_observation_front_survives_json() -> None:
    config = ModelConfig.preset("loop", front=FRONT)
    assert ModelConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config


def test_plain_values_of_something_else_are_refused() -> None:
    plain = ModelConfig.preset("hrm-27m").to_plain()
    with pytest.raises(ValueError, match="num_wheels"):
        ModelConfig.from_plain({**plain, "num_wheels": 4})
    with pytest.raises(ValueError, match=r"front\.kind"):
        ModelConfig.from_plain({**plain, "front": {}})


@pytest.mark.parametrize(("size", "expected"), [(512, 1536), (97, 512), (916, 2560)])
def test_inner_sizes_are_the_papers(size: int, expected: int) -> None:
    assert ModelConfig.preset("hrm-27m").inner_size(size) == expected


def test_the_config_imports_without_torch() -> None:
    program = "import sys, sage.hrm_core.config.model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
