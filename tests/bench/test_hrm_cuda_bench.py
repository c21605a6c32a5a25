"""The benchmark of the reasoning models on a card, run in small on the processor: its arithmetic and its
contenders.
"""

from __future__ import annotations

import hrm_cuda  # type: ignore[import-not-found]
import pytest

from sage.app.models.training.building import build_model
from sage.app.models.training.recipe import find_recipe


def test_a_steps_operations_are_those_of_its_matrices() -> None:
    """One cycle of one L call and its H call, through which all gradients go: two calls forward, and twice
    that back.
    """
    recipe = find_recipe(hrm_cuda.RECIPE, None, ("model.H_cycles=1", "model.L_cycles=1"))
    model = build_model(recipe, hrm_cuda.SPEC)
    assert recipe.train.compile
    tokens, width = model.config.front.num_tokens, model.config.hidden_size
    weights = sum(
        weight.numel() * (width if "mlp_t" in name else tokens)
        for name, weight in model.inner.nets[0].named_parameters()
    )
    assert hrm_cuda.step_operations(model, 4) == pytest.approx(4 * weights * 2 * (2 + 4))


def test_every_backend_that_is_there_is_timed() -> None:
    found = hrm_cuda.time_attention("cpu", (1,), 1)
    assert {"sdpa", "eager"} <= set(found[1])
    assert all(ms > 0 for ms in found[1].values())


def test_a_step_of_the_recipe_is_timed() -> None:
    small = (
        "train.compile=false",
        "train.batch_size=2",
        "model.hidden_size=64",
        "model.num_heads=1",
        "front.puzzle_emb_ndim=64",
    )
    found = hrm_cuda.time_steps("cpu", {"small": small}, 1)
    assert found["small"]["step_ms"] > 0
