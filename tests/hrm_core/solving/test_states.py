"""Tries from random starts, and the try whose state changed least."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.model.recurrence import Carry
from sage.hrm_core.solving.noise import puzzle_seed
from sage.hrm_core.solving.row import Row
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.solving.states import residuals, with_starts

Build = Callable[..., HRM]
STARTS = SolveSettings(tries=5, halt="never", variation="start", pick="residual", max_segments=3)


def _row(number: int, settings: SolveSettings, *, start_seed: int | None) -> Row:
    return Row(
        number=number,
        inputs=np.zeros(16, np.int32),
        settings=settings,
        max_segments=3,
        is_try=True,
        reads_output=False,
        start_seed=start_seed,
    )


def _run(model: HRM, puzzle: np.ndarray, carry: Carry) -> tuple[np.ndarray, float]:
    """The answer after three segments, and the change of the last."""
    rows = torch.from_numpy(puzzle[None])
    batch = TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((1,), -1))
    with torch.inference_mode():
        for _ in range(3):
            before = carry
            carry, output = model.segment(carry, batch)
    assert output.logits is not None
    moved = torch.cat([(carry.z_H - before.z_H).flatten(), (carry.z_L - before.z_L).flatten()])
    return output.logits[0].argmax(-1).numpy(), float(moved.square().mean().sqrt())


def test_the_answer_is_that_of_the_try_that_changed_least(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    model = build_solver_model()
    found = Solver(model).solve(puzzles[:6], STARTS)
    picked = []
    for index, puzzle in enumerate(puzzles[:6]):
        seed = puzzle_seed(puzzle, -1, 0)
        starts = [model.initial_carry(1)] + [
            with_starts(model.initial_carry(1), [_row(number, STARTS, start_seed=seed)])
            for number in range(1, 5)
        ]
        ends = [_run(model, puzzle, start) for start in starts]
        best = int(np.argmin([change for _, change in ends]))
        np.testing.assert_array_equal(found.answers[index], ends[best][0])
        picked.append(best)
    assert found.attempt.tolist() == picked
    assert len(set(picked)) > 1


def test_the_first_try_starts_as_ever(build_solver_model: Build, puzzles: np.ndarray) -> None:
    solver = Solver(build_solver_model())
    plain = solver.solve(puzzles, halt="never", max_segments=3)
    one = solver.solve(puzzles, STARTS, tries=1)
    np.testing.assert_array_equal(plain.answers, one.answers)


def test_random_starts_have_their_size_and_differ_by_try(build_solver_model: Build) -> None:
    fresh = build_solver_model().initial_carry(3)
    settings = dataclasses.replace(STARTS, start_std=2.0)
    rows = [_row(number, settings, start_seed=7 if number else None) for number in range(3)]
    carry = with_starts(fresh, rows)
    assert torch.equal(carry.z_H[0], fresh.z_H[0])
    assert not torch.equal(carry.z_H[1], carry.z_H[2])
    drawn = torch.cat((carry.z_H[1:], carry.z_L[1:]))
    assert drawn.std().item() == pytest.approx(2.0, rel=0.1)
    assert torch.equal(carry.z_L[2], with_starts(fresh, [rows[0], rows[2], rows[1]]).z_L[1])


def test_a_state_that_is_not_finite_is_never_picked(build_solver_model: Build, puzzles: np.ndarray) -> None:
    fresh = build_solver_model().initial_carry(2)
    broken = Carry(z_H=fresh.z_H * torch.tensor([1.0, torch.nan])[:, None, None], z_L=fresh.z_L)
    rows = [_row(number, STARTS, start_seed=None) for number in range(2)]
    for row, size in zip(rows, residuals(fresh, broken, rows)):
        row.residual = float(size)
    assert rows[0].merit == 0.0
    assert rows[1].merit == -np.inf
