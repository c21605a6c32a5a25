"""Small untrained causal models: their text is meaningless but deterministic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.text.baseline_comparison import BaselineComparison


def _text_config(**changes: Any) -> ModelConfig:
    positions = changes.pop("positions", "rope")
    front = TokenFront(vocab_size=256, seq_len=24, positions=positions, **changes.pop("front", {}))
    usual = {"mixer": "attention", "is_causal": True, "halt_max_segments": 3, "num_heads": 2}
    return ModelConfig.preset("tiny", front=front, **{**usual, **changes})


@pytest.fixture
def text_config() -> Callable[..., ModelConfig]:
    """A function of changes to the config; positions and front: fields of its TokenFront."""
    return _text_config


@pytest.fixture
def comparison() -> BaselineComparison:
    made = BaselineComparison.make(_text_config(), seed=1)
    with torch.no_grad():  # larger logits: with nearly equal ones, rounding decides
        made.hrm.inner.lm_head.weight.mul_(3.0)
    return made
