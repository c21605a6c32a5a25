"""A model that is watched answers as it does alone, and each state is told apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.solving.trajectory import (
    participation_ratio,
    principal_path,
    record_trajectory,
    step_sizes,
)

Build = Callable[..., HRM]
#: Two nets of two widths, shared nets, shared nets with attention.
FORMS = [
    {"L_hidden_size": 64, "num_heads": 1, "shares_nets": False, "H_cycles": 2},
    {"H_cycles": 2, "L_cycles": 3},
    {"mixer": "attention", "H_layers": 2, "L_layers": 2},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_looking_changes_nothing(form: dict, build_solver_model: Build, puzzles: np.ndarray) -> None:
    model = build_solver_model(**form)
    found = record_trajectory(model, puzzles[:5], num_segments=3)
    alone = Solver(model).solve(puzzles[:5], halt="never", max_segments=3)
    np.testing.assert_array_equal(found.answers[-1], alone.answers)
    np.testing.assert_allclose(found.confidence[-1], alone.confidence, atol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_last_states_are_the_carry(form: dict, build_solver_model: Build, puzzles: np.ndarray) -> None:
    model, config = build_solver_model(**form), build_solver_model(**form).config
    found = record_trajectory(model, puzzles[:5], num_segments=2)
    state = model.initial_state(_batch(puzzles[:5]))
    with torch.inference_mode():
        for _ in range(2):
            state, _ = model(state, state.batch, halts_early=False)
    np.testing.assert_allclose(found.z_H[-1], state.carry.z_H.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.z_L[-1], state.carry.z_L.numpy(), atol=1e-5)
    assert len(found.z_H) == 2 * config.H_cycles
    assert len(found.z_L) == 2 * config.H_cycles * config.L_cycles


def test_attention_is_kept_where_there_is_any(build_solver_model: Build, puzzles: np.ndarray) -> None:
    found = record_trajectory(build_solver_model(**FORMS[2]), puzzles[:2], num_segments=2)
    assert found.attention is not None
    assert found.attention.shape == (3, 16, 16)
    assert found.calls == ("L", "L", "H")
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-5)
    assert record_trajectory(build_solver_model(), puzzles[:2], num_segments=1).attention is None


def test_the_participation_ratio_counts_axes() -> None:
    random = np.random.default_rng(0)
    assert participation_ratio(random.normal(size=(20_000, 6))) == pytest.approx(6, rel=0.02)
    line = random.normal(size=(100, 1)) * np.arange(5)
    assert participation_ratio(line) == pytest.approx(1)
    assert participation_ratio(np.ones((10, 3))) == 0


def test_a_straight_path_has_one_axis_and_equal_steps() -> None:
    states = (np.arange(5.0)[:, None, None] * np.array([3.0, 4.0])).repeat(2, axis=1)  # (C 5, S 2, D 2)
    path = principal_path(states)
    np.testing.assert_allclose(np.abs(np.diff(path[:, 0])), 5)
    np.testing.assert_allclose(path[:, 1], 0, atol=1e-9)
    np.testing.assert_allclose(step_sizes(states[1:, None]), [1, 1 / 2, 1 / 3])


def _batch(inputs: np.ndarray):
    from sage.hrm_core.model.hrm import TokenBatch

    rows = torch.from_numpy(inputs)
    return TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((len(rows),), -1))
