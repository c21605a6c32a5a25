"""The wide skip: it finds what one channel tells of another, and leaves alone what nothing tells of."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.prediction import wide_skip
from sage.runtime.prediction.wide_skip import MAX_FEATURES, WideSkip


def live(wide: WideSkip, changes: np.ndarray, *, every: np.ndarray | None = None) -> np.ndarray:
    """(T, C) what was predicted of `changes` (T, C) before each came; channel i speaks each `every[i]`
    steps.
    """
    size = changes.shape[1]
    deltas, given = np.zeros(size), np.zeros(changes.shape)
    for step, change in enumerate(changes):
        fresh = np.flatnonzero(step % (np.ones(size, dtype=int) if every is None else every) == 0)
        given[step] = wide.predict()
        wide.learn(fresh, change[fresh], change[fresh])
        deltas[fresh] = change[fresh]
        wide.look(deltas, np.zeros(size))
    return given


def led(num: int = 3000, *, share: float = 0.8) -> np.ndarray:
    """Channel 1 repeats, in another unit, a part of what channel 0 did one step before; channel 2 is
    noise.
    """
    noise = np.random.default_rng(3).normal(0, 1, (num + 1, 3))
    follower = 1000.0 * (share * noise[:-1, 0] + np.sqrt(1 - share**2) * noise[1:, 1])
    return np.stack((noise[1:, 0], follower, noise[1:, 2]), axis=1)


def gain(given: np.ndarray, changes: np.ndarray, channel: int) -> float:
    half = len(changes) // 2
    return float(1 - ((changes - given)[half:, channel] ** 2).sum() / (changes[half:, channel] ** 2).sum())


def test_the_change_of_a_leader_predicts_its_follower() -> None:
    changes = led()
    given = live(WideSkip(np.ones(3, dtype=bool)), changes)
    assert gain(given, changes, 1) > 0.9 * 0.64  # the share of its variance that can be known


def test_an_unpredictable_channel_gets_no_correction() -> None:
    changes = led()
    given = live(WideSkip(np.ones(3, dtype=bool)), changes)
    assert gain(given, changes, 0) > -0.005
    assert gain(given, changes, 2) > -0.005


def test_a_channel_that_is_no_witness_has_no_effect() -> None:
    changes = led()
    given = live(WideSkip(np.array([False, True, True])), changes)
    assert gain(given, changes, 1) < 0.01


def test_a_channel_with_few_readings_learns_from_each() -> None:
    changes = led(8000)
    given = live(WideSkip(np.ones(3, dtype=bool)), changes, every=np.array([1, 8, 1]))
    spoken = np.arange(0, 8000, 8)
    assert gain(given[spoken], changes[spoken], 1) > 0.5 * 0.64


def test_many_channels_are_mixed_down() -> None:
    num = MAX_FEATURES
    changes = np.random.default_rng(5).normal(0, 1, (50, num))
    wide = WideSkip(np.ones(num, dtype=bool))
    assert np.isfinite(live(wide, changes)).all()
    assert wide.state()["covariance"].shape == (MAX_FEATURES + 1, MAX_FEATURES + 1)


def test_the_correction_is_zero_before_learning() -> None:
    wide = WideSkip(np.ones(2, dtype=bool))
    wide.look(np.ones(2), np.ones(2))
    assert not wide.predict().any()


def test_a_loaded_state_continues_identically() -> None:
    changes = led(600)
    kept, other = WideSkip(np.ones(3, dtype=bool)), WideSkip(np.ones(3, dtype=bool))
    live(kept, changes)
    other.load_state(kept.state())
    for wide in (kept, other):
        wide.look(changes[0], np.zeros(3))
    assert kept.predict()[1] != 0
    np.testing.assert_array_equal(kept.predict(), other.predict())


def test_a_state_of_other_sources_raises() -> None:
    with pytest.raises(ValueError, match="covariance"):
        WideSkip(np.ones(3, dtype=bool)).load_state(WideSkip(np.ones(2, dtype=bool)).state())


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_variance_of_what_does_not_move_is_bounded(
    monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    """With a drift 1,000 times the usual, 2,000 readings at rest are as two million."""
    monkeypatch.setattr(wide_skip, "DRIFT", 1000 * wide_skip.DRIFT)
    wide = WideSkip(np.ones(3, dtype=bool), is_compiled=is_compiled)
    given = np.random.default_rng(0).normal(0, 1, (2000, 3))
    for change in given:
        wide.learn(np.arange(3), change, change)
        wide.look(np.array([change[0], 0.0, 0.0]), np.full(3, 0.5))
    covariance = wide.state()["covariance"]
    assert covariance.diagonal().max() <= 1.01 * wide_skip.MAX_VARIANCE / wide_skip.PRIOR_READINGS
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.abs(covariance - covariance.T).max() < 1e-12
