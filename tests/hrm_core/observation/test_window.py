"""Ticks as rows, the unroll, and what is hidden."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sage.hrm_core.observation.loss import ObservationWindow
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.observation.window import draw_hidden_sources, merge_carries, unroll

Build = Callable[..., ObservationModel]
Draw = Callable[..., ObservationWindow]


def test_rows_go_tick_by_tick(build_model: Build, phase_window: Draw) -> None:
    window = phase_window(build_model(), num_rows=3, num_ticks=4)
    rows = window.rows(1, 3, window.present)
    assert window.num_ticks == 4
    assert torch.equal(rows.values[0:3], window.values[:, 1])
    assert torch.equal(rows.values[3:6], window.values[:, 2])


def test_one_batch_of_rows_says_what_tick_by_tick_says(build_model: Build, phase_window: Draw) -> None:
    model = build_model(speaks=True)
    window = phase_window(model, num_rows=3, num_ticks=4)
    carries = list(unroll(model, window, window.present, num_ticks=4, num_segments=2))
    assert len(carries) == 4 * 2 + 1
    _, together = model(merge_carries(carries[1:-1:2]), window.rows(0, 4, window.present))
    carry = carries[0]
    for tick in range(4):
        for _ in range(2):
            carry, output = model(carry, window.rows(tick, tick + 1, window.present))
        torch.testing.assert_close(
            together.prediction[3 * tick : 3 * tick + 3], output.prediction, atol=1e-5, rtol=1e-5
        )
    torch.testing.assert_close(carries[-1].z_H, carry.z_H)


def test_sources_hide_as_often_as_asked_and_in_stretches() -> None:
    present = torch.ones(64, 200, 4, dtype=torch.bool)
    hidden = draw_hidden_sources(present, 0.2, 4.0, torch.Generator().manual_seed(0))
    assert float(hidden.float().mean()) == pytest.approx(0.2, abs=0.01)
    stays = (hidden[:, 1:] & hidden[:, :-1]).sum() / hidden[:, :-1].sum()
    assert float(stays) == pytest.approx(
        0.75 + 0.25 * 0.2, abs=0.02
    )  # not redrawn, or redrawn and hidden again


def test_what_is_absent_cannot_be_hidden_and_nothing_hides_at_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not draw_hidden_sources(torch.zeros(4, 5, 2, dtype=torch.bool), 1.0, 4.0, generator).any()
    assert not draw_hidden_sources(torch.ones(4, 5, 2, dtype=torch.bool), 0.0, 4.0, generator).any()


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="mask_probability"):
        draw_hidden_sources(torch.ones(1, 2, 1, dtype=torch.bool), 1.2, 4.0, torch.Generator())
