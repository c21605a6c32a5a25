"""Losses against double precision and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sage.hrm_core.model.losses import (
    IGNORED,
    act_loss,
    halt_target,
    is_exact,
    log_stablemax,
    q_continue_target,
    regression_loss,
    token_cross_entropy,
)
from sage.hrm_core.model.recurrence import Output


def reference_log_stablemax(logits: torch.Tensor) -> torch.Tensor:
    """As published: s(x) in fp64, then log of the ratio."""
    x = logits.double()
    s = torch.where(x < 0, 1 / (1 - x), x + 1)
    return torch.log(s / s.sum(-1, keepdim=True))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 30.0, 1e4, 1e8])
def test_log_stablemax_in_fp32_is_as_good_as_fp64(scale: float) -> None:
    logits = torch.randn(64, 11, generator=torch.Generator().manual_seed(0)) * scale
    torch.testing.assert_close(
        log_stablemax(logits).double(), reference_log_stablemax(logits), atol=2e-6, rtol=2e-6
    )


def test_log_stablemax_has_a_gradient_at_zero() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    double = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    log_stablemax(logits)[0, 1].backward()
    reference_log_stablemax(double)[0, 1].backward()
    assert logits.grad is not None
    assert double.grad is not None
    torch.testing.assert_close(logits.grad, double.grad.float())


def test_a_row_counts_once_however_many_cells_are_valid() -> None:
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([[1, 2, 3, 4], [0, IGNORED, IGNORED, IGNORED]])
    expected = -torch.log_softmax(logits, -1)[1, 0, 0]
    torch.testing.assert_close(token_cross_entropy(logits, labels, "softmax")[1], expected)


def test_a_row_without_valid_cells_costs_nothing_and_is_not_exact() -> None:
    logits, labels = torch.zeros(1, 3, 5), torch.full((1, 3), IGNORED)
    assert float(token_cross_entropy(logits, labels)) == 0.0
    assert not is_exact(logits, labels).item()


def test_exact_means_every_valid_cell() -> None:
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 2, 0], [1, 2, 0]]), 4).float()
    labels = torch.tensor([[1, 2, IGNORED], [1, 3, IGNORED]])
    assert is_exact(logits, labels).tolist() == [True, False]


def test_the_last_segment_bootstraps_from_halting_alone() -> None:
    halt, go_on = torch.tensor([-1.0, -1.0, 2.0]), torch.tensor([1.0, 1.0, 1.0])
    target = q_continue_target(halt, go_on, torch.tensor([True, False, False]))
    torch.testing.assert_close(target, torch.tensor([-1.0, 1.0, 2.0]).sigmoid())


def test_the_loss_of_a_segment_is_the_papers_sum() -> None:
    logits, labels = (
        torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(4)),
        torch.tensor([[1, 2, 3], [0, 1, 2]]),
    )
    output = Output(logits=logits, q_halt=torch.tensor([0.3, -2.0]), q_continue=torch.tensor([0.1, 0.2]))
    loss = act_loss(output, labels, q_continue=torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(loss.total, loss.cross_entropy + 0.5 * (loss.q_halt + loss.q_continue))
    without = act_loss(output, labels)
    assert float(without.q_continue) == 0.0
    torch.testing.assert_close(loss.cross_entropy, token_cross_entropy(logits, labels).mean())


def test_halting_is_right_when_one_more_segment_gains_under_a_hundredth() -> None:
    error = torch.tensor([1.0, 1.0, 1.0, 1.0])
    later = torch.tensor([0.5, 0.98, 0.995, 2.0])
    assert halt_target(error, later).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_there_is_nothing_to_gain_on_an_error_of_0() -> None:
    """A source that does not change is predicted exactly."""
    assert halt_target(torch.zeros(2), torch.tensor([0.0, 0.5])).tolist() == [1.0, 1.0]


def test_numbers_are_judged_by_their_squares_and_nan_does_not_count() -> None:
    logits = torch.tensor([[[1.0, 2.0]], [[0.0, 5.0]]], requires_grad=True)
    targets = torch.tensor([[[1.0, 4.0]], [[0.05, torch.nan]]])
    loss = regression_loss(Output(logits=logits, q_halt=torch.zeros(2)), targets, tolerance=0.1)
    assert float(loss.cross_entropy.detach()) == pytest.approx((4.0 / 2 + 0.05**2) / 2)
    assert loss.is_exact.tolist() == [False, True]
    assert float(loss.q_halt) == pytest.approx(math.log(2))
    loss.total.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert float(logits.grad[1, 0, 1]) == 0.0


def test_fp64_is_kept() -> None:
    assert log_stablemax(torch.zeros(2, 3, dtype=torch.float64)).dtype == torch.float64
