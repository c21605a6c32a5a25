"""The linear skip: exactly nothing without evidence, most of what can be known with it, and never much
harm.
"""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.prediction.linear_skip import LinearSkip


def forecast(rows: np.ndarray, skip: LinearSkip | None = None) -> np.ndarray:
    """(T, C) the change predicted before each row of `rows` (T, C) came."""
    skip = skip or LinearSkip(rows.shape[1])
    channels = np.arange(rows.shape[1])
    changes = np.zeros_like(rows)
    for index, row in enumerate(rows):
        changes[index] = skip.predict()
        skip.observe(channels, row)
    return changes


def skill(rows: np.ndarray, changes: np.ndarray, start: int = 1) -> np.ndarray:
    """(C,) against persistence."""
    came = np.diff(rows, axis=0)[start - 1 :]
    return 1 - ((came - changes[start:]) ** 2).sum(axis=0) / (came**2).sum(axis=0)


def autoregressive(coefficients: list[float], num_rows: int, num_channels: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(num_rows, num_channels))
    rows = np.zeros_like(noise)
    for index in range(len(coefficients), num_rows):
        rows[index] = (
            sum(weight * rows[index - 1 - lag] for lag, weight in enumerate(coefficients)) + noise[index]
        )
    return rows


def test_it_predicts_no_change_without_evidence() -> None:
    skip = LinearSkip(4)
    assert not skip.predict().any()
    for row in np.random.default_rng(0).normal(size=(10, 4)):
        skip.observe(np.arange(4), row)
    assert not skip.predict().any()


def test_a_constant_channel_is_predicted_exactly() -> None:
    rows = np.full((300, 2), 7.3)
    rows[:, 1] = np.random.default_rng(0).normal(size=300)
    assert not forecast(rows)[:, 0].any()


def test_a_random_walk_increases_the_error_very_little() -> None:
    rows = np.cumsum(np.random.default_rng(0).normal(size=(1000, 64)), axis=0)
    assert skill(rows, forecast(rows)).mean() > -0.002


@pytest.mark.parametrize(
    ("coefficients", "reachable"),
    [([0.0], 0.5), ([1.5, -0.7], 0.521), ([1.95, -0.96], 0.922)],
    ids=["white noise", "AR(2)", "oscillation"],
)
def test_most_of_the_predictable_part_is_predicted(coefficients: list[float], reachable: float) -> None:
    rows = autoregressive(coefficients, 1500, 16)
    assert skill(rows, forecast(rows), start=500).mean() > 0.85 * reachable  # by the law's own variances


def test_a_change_of_law_is_followed() -> None:
    rows = np.concatenate([autoregressive([1.5, -0.7], 600, 16), autoregressive([0.0], 1000, 16, seed=1)])
    assert skill(rows, forecast(rows), start=1100).mean() > 0.4


def test_a_burst_after_rest_increases_the_error_very_little() -> None:
    generator = np.random.default_rng(0)
    rows = np.cumsum(generator.normal(size=(700, 16)) * 1e-3, axis=0)
    rows[400:500] += np.cumsum(generator.normal(size=(100, 16)), axis=0)
    assert skill(rows, forecast(rows)).mean() > -0.01


def test_the_unit_has_no_effect() -> None:
    rows = autoregressive([1.5, -0.7], 400, 4)
    usual = forecast(rows)
    assert forecast(rows * 1e-6) == pytest.approx(usual * 1e-6, rel=1e-6, abs=1e-12)
    assert forecast(rows * 1e6) == pytest.approx(usual * 1e6, rel=1e-6, abs=1e-3)


def test_separate_and_joint_updates_are_equal() -> None:
    rows = autoregressive([1.5, -0.7], 400, 6)
    together, apart = LinearSkip(6), LinearSkip(6)
    for row in rows:
        together.observe(np.arange(6), row)
        for channels in (np.array([0, 1]), np.array([2, 4]), np.array([3, 5])):
            apart.observe(channels, row[channels])
    assert apart.predict() == pytest.approx(together.predict(), rel=1e-12, abs=1e-12)


def test_a_channel_without_a_reading_does_not_change() -> None:
    skip = LinearSkip(2)
    for row in autoregressive([1.5, -0.7], 300, 2):
        skip.observe(np.arange(2), row)
    before = skip.predict()
    skip.observe(np.array([0]), np.array([3.0]))
    assert skip.predict()[1] == before[1]


def test_extreme_readings_leave_it_finite() -> None:
    generator = np.random.default_rng(0)
    rows = generator.standard_cauchy(size=(1000, 8)) * 10.0 ** generator.integers(-12, 12, size=(1000, 8))
    rows[::97] = np.nan
    rows[::89, 0] = np.inf
    rows[300:600, 1] = 5.0
    changes = forecast(rows)
    assert np.isfinite(changes).all()


def test_long_rest_after_a_step_leaves_it_finite_and_quiet() -> None:
    rows = np.zeros((3000, 1))
    rows[50:] = 1e6
    skip = LinearSkip(1)
    changes = forecast(rows, skip)
    assert np.isfinite(changes).all()
    assert all(np.isfinite(array).all() for array in skip.state().values())


def test_covariances_stay_symmetric_and_below_their_prior() -> None:
    skip = LinearSkip(4)
    forecast(autoregressive([1.95, -0.96], 1000, 4) * np.array([1.0, 1e-6, 1e6, 0.0]), skip)
    covariance = np.moveaxis(skip.state()["filter.covariance"], -1, 1)  # (K, C, P, P)
    assert np.array_equal(covariance, covariance.swapaxes(-1, -2))
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert eigenvalues.min() > 0
    assert eigenvalues.max() <= 0.1 * (1 + 1e-9)


def test_a_loaded_state_predicts_the_same() -> None:
    rows = autoregressive([1.5, -0.7], 400, 4)
    skip, twin = LinearSkip(4), LinearSkip(4)
    forecast(rows[:300], skip)
    twin.load_state(skip.state())
    assert np.array_equal(forecast(rows[300:], twin), forecast(rows[300:], skip))


def test_a_state_of_another_size_raises() -> None:
    with pytest.raises(ValueError, match="as many channels"):
        LinearSkip(4).load_state(LinearSkip(3).state())


@pytest.mark.parametrize(
    ("arguments", "name"), [({"num_channels": 0}, "num_ch"), ({"num_channels": 1, "order": 1}, "order")]
)
def test_an_impossible_size_raises(arguments: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        LinearSkip(**arguments)


def test_on_a_hand_held_imu_every_source_gains(recordings) -> None:
    table = np.loadtxt(
        recordings / "sensors" / "xio" / "sensor_data.csv", delimiter=",", skiprows=1, max_rows=4000
    )[::2, 1:]
    changes = forecast(table)
    came = np.diff(table, axis=0)
    for channels in (slice(0, 3), slice(3, 6), slice(6, 9)):
        scale = table[:, channels].std(axis=0)
        error = (((came - changes[1:])[:, channels] / scale) ** 2).sum()
        assert error < ((came[:, channels] / scale) ** 2).sum()
