"""The gate: what it lets through, what it holds back, and what a useless proposal may cost."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.prediction.gate import MIN_READINGS, OnlineGate


def play(residuals: np.ndarray, proposals: np.ndarray) -> tuple[OnlineGate, np.ndarray]:
    """Prequential: (the gate at the end, (T, C) what it let through of each proposal)."""
    gate = OnlineGate(residuals.shape[1])
    channels = np.arange(residuals.shape[1])
    through = np.zeros_like(residuals)
    for row, (residual, proposal) in enumerate(zip(residuals, proposals)):
        through[row] = gate.weigh(proposal) * proposal
        gate.update(channels, residual, proposal)
    return gate, through


def test_a_new_gate_is_closed() -> None:
    gate = OnlineGate(3)
    assert np.array_equal(gate.values, np.zeros(3))
    assert np.array_equal(gate.weigh(np.ones(3)), np.zeros(3))


def test_a_useless_proposal_adds_less_than_half_a_percent_error() -> None:
    generator = np.random.default_rng(0)
    residuals, proposals = generator.normal(size=(2, 1500, 64))
    _, through = play(residuals, proposals)
    assert np.mean((residuals - through) ** 2) < 1.005 * np.mean(residuals**2)


def test_a_proposal_that_is_always_wrong_is_never_used() -> None:
    residuals = np.random.default_rng(0).normal(size=(500, 4))
    gate, through = play(residuals, -residuals)
    assert not through.any()
    assert not gate.values.any()


def test_a_right_proposal_is_nearly_all_used() -> None:
    residuals = np.random.default_rng(0).normal(size=(500, 4))
    gate, _ = play(residuals, residuals)
    assert (gate.values > 0.9).all()


def test_half_of_a_proposal_twice_too_large_is_used() -> None:
    residuals = np.random.default_rng(0).normal(size=(2000, 4))
    gate, _ = play(residuals, 2 * residuals)
    assert gate.values == pytest.approx(np.full(4, 0.5), abs=0.05)


def test_one_large_reading_does_not_open_the_gate() -> None:
    residuals = np.random.default_rng(0).normal(size=(MIN_READINGS + 4, 1)) * 1e-3
    proposals = np.random.default_rng(1).normal(size=residuals.shape) * 1e-3
    residuals[-1] = proposals[-1] = 1000.0
    gate, _ = play(residuals, proposals)
    assert gate.values[0] == 0.0


def test_a_proposal_far_larger_than_before_is_hardly_used() -> None:
    residuals = np.random.default_rng(0).normal(size=(1000, 1))
    gate, _ = play(residuals, residuals)
    assert gate.weigh(np.array([1.0]))[0] > 0.9
    assert gate.weigh(np.array([1000.0]))[0] < 0.01


def test_a_proposal_that_turns_useless_is_dropped() -> None:
    generator = np.random.default_rng(0)
    residuals = generator.normal(size=(2500, 16))
    proposals = residuals.copy()
    proposals[1000:] = generator.normal(size=(1500, 16))
    _, through = play(residuals, proposals)
    late = slice(2000, None)
    assert np.mean((residuals[late] - through[late]) ** 2) < 1.05 * np.mean(residuals[late] ** 2)


def test_the_unit_has_no_effect() -> None:
    generator = np.random.default_rng(0)
    residuals = generator.normal(size=(400, 4))
    proposals = residuals + generator.normal(size=(400, 4))
    usual, _ = play(residuals, proposals)
    tiny, _ = play(residuals * 1e-9, proposals * 1e-9)
    assert tiny.values == pytest.approx(usual.values, rel=1e-9)


def test_channels_learn_independently_and_the_state_is_restored() -> None:
    gate, twin = OnlineGate(4), OnlineGate(4)
    for row in np.random.default_rng(0).normal(size=(50, 2)):
        gate.update(np.array([0, 3]), row, row)
    assert (gate.values[[0, 3]] > 0.5).all()
    assert not gate.values[[1, 2]].any()
    twin.load_state(gate.state())
    assert np.array_equal(twin.values, gate.values)


def test_a_state_of_another_size_raises() -> None:
    with pytest.raises(ValueError, match="as many channels"):
        OnlineGate(4).load_state(OnlineGate(3).state())


@pytest.mark.parametrize("field", ["forgetting", "recent_forgetting"])
def test_an_invalid_forgetting_raises(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        OnlineGate(1, **{field: 1.0})
