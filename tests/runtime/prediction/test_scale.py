"""The running scale knows the past and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.prediction.scale import RunningScale


def test_it_is_the_mean_and_deviation_of_the_readings() -> None:
    rows = np.random.default_rng(0).normal(5.0, 2.0, size=(100, 3))
    scale = RunningScale(3)
    for row in rows:
        scale.update(np.arange(3), row)
    assert scale.mean == pytest.approx(rows.mean(axis=0))
    assert scale.std == pytest.approx(rows.std(axis=0))


def test_channels_are_independent() -> None:
    scale = RunningScale(3)
    scale.update(np.array([1]), np.array([4.0]))
    scale.update(np.array([1]), np.array([6.0]))
    assert scale.count.tolist() == [0, 2, 0]
    assert scale.mean.tolist() == [0, 5, 0]
    assert scale.std[1] == 1.0


def test_a_constant_channel_has_the_floor_and_no_rounding() -> None:
    scale = RunningScale(1, floor=1e-6)
    for _ in range(1000):
        scale.update(np.array([0]), np.array([0.1]))
    assert scale.std[0] == 1e-6


def test_a_small_deviation_on_a_large_mean_is_measured() -> None:
    rows = 33.12677 + 1e-6 * np.random.default_rng(0).normal(size=1000)
    scale = RunningScale(1)
    for value in rows:
        scale.update(np.array([0]), np.array([value]))
    assert scale.std[0] == pytest.approx(rows.std(), rel=1e-3)


def test_readings_that_are_not_finite_are_skipped() -> None:
    scale = RunningScale(2)
    scale.update(np.arange(2), np.array([np.nan, 3.0]))
    assert scale.count.tolist() == [0, 1]


def test_a_state_is_restored_and_another_size_raises() -> None:
    scale, twin = RunningScale(2), RunningScale(2)
    scale.update(np.arange(2), np.array([1.0, 2.0]))
    twin.load_state(scale.state())
    assert np.array_equal(twin.mean, scale.mean)
    with pytest.raises(ValueError, match="as many channels"):
        RunningScale(3).load_state(scale.state())
