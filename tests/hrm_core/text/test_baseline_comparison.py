"""HRM and its GPT baseline: equal numbers of parameters, the same rows, and both learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.text.baseline_comparison import (
    PLAIN_NAME,
    BaselineComparison,
    load_plain,
    save_plain,
    train_plain,
)
from sage.hrm_core.text.generation import generate
from sage.hrm_core.text.gpt import PlainGPT
from sage.hrm_core.training.config import TrainConfig

MakeConfig = Callable[..., ModelConfig]
LEARNING = OptimizerConfig(kind="muon", lr=1e-2, weight_decay=0.1, warmup_steps=5, min_lr_ratio=0.05)


def num_parameters(model: torch.nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("shares_nets", [True, False])
def test_the_baseline_has_as_many_parameters_as_hrm_without_the_q_head(
    text_config: MakeConfig, shares_nets: bool
) -> None:
    comparison = BaselineComparison.make(text_config(shares_nets=shares_nets))
    assert comparison.gpt is not None
    assert num_parameters(comparison.gpt) == num_parameters(comparison.hrm) - (2 * 32 + 2)


def test_the_baseline_is_causal(text_config: MakeConfig) -> None:
    gpt = PlainGPT(text_config()).eval()
    tokens = torch.arange(10)[None]
    changed = tokens.clone()
    changed[0, 7:] = 99
    before, after = gpt(tokens), gpt(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


def test_the_baseline_learns_and_writes_the_shortest_words(text_config: MakeConfig) -> None:
    """a^n b^n up to n = 4: one depth is held out, so the test uses the training words."""
    task = make_task("brackets", grammar="anbn", depth=4)
    comparison = BaselineComparison.make(text_config(), seed=0)
    assert comparison.gpt is not None
    config = TrainConfig(
        steps=60, batch_size=16, cross_entropy="softmax", clip_norm=1.0, ema_decay=0.9, optimizer=LEARNING
    )
    result = train_plain(comparison.gpt, task, config)
    assert result.steps == 60
    assert result.loss < 0.1
    for n in (1, 2, 3):
        written = generate(comparison, "a" * n + "b", max_length=2 * n + 1, use_hrm=False, stop="\n")
        assert written.text == "b" * (n - 1) + "\n"


def test_training_twice_gives_the_same_weights(text_config: MakeConfig) -> None:
    task = make_task("brackets", grammar="anbn", depth=4)
    config = TrainConfig(steps=3, batch_size=4, cross_entropy="softmax", optimizer=LEARNING, ema_decay=0.9)
    states = []
    for _ in range(2):
        gpt = PlainGPT(text_config())
        train_plain(gpt, task, config)
        states.append(gpt.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_training_ends_with_its_cpu_time(text_config: MakeConfig) -> None:
    config = TrainConfig(
        steps=1000, batch_size=4, cross_entropy="softmax", optimizer=LEARNING, max_cpu_secs=1e-6
    )
    assert (
        train_plain(PlainGPT(text_config()), make_task("brackets", grammar="anbn", depth=4), config).steps
        == 1
    )


def test_the_baseline_is_saved_and_loaded_from_the_folder_of_its_hrm(
    text_config: MakeConfig, tmp_path: Path
) -> None:
    config = text_config()
    gpt = PlainGPT(config, generator=torch.Generator().manual_seed(5))
    assert load_plain(tmp_path, config) is None
    save_plain(gpt, tmp_path)
    loaded = load_plain(tmp_path, config)
    assert loaded is not None
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in gpt.state_dict().items())
    with pytest.raises(ValueError, match="its shapes do not match"):
        load_plain(tmp_path, text_config(hidden_size=64))
    path = tmp_path / PLAIN_NAME
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_plain(tmp_path, config)


def test_the_baseline_needs_a_causal_model_of_one_width(text_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match="is_causal is False"):
        PlainGPT(text_config(is_causal=False))
    with pytest.raises(ValueError, match="L_hidden_size is given"):
        PlainGPT(text_config(shares_nets=False, L_hidden_size=16))
