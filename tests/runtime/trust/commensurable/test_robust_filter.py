"""Robust fusion: its limits are known filters, and it withstands faults that those do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from sage.errors import InputError
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import FusionRules, Sources

TRANSITION = np.kron(np.eye(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
PROCESS = 0.02 * np.kron(np.eye(2), np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]))
POSITION = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
START = np.diag([100.0, 1.0, 100.0, 1.0])
SIGMA = np.array([1.0, 1.0, 1.5, 2.0, 0.7])


@dataclass(frozen=True)
class Track:
    """truth: (T, 4).  readings: (T, 5, 2)."""

    truth: np.ndarray
    readings: np.ndarray


@pytest.fixture(scope="module")
def track() -> Track:
    generator = np.random.default_rng(3)
    truth, state, factor = [], np.array([1.0, 0.4, -2.0, 0.1]), np.linalg.cholesky(PROCESS)
    for _ in range(160):
        state = TRANSITION.dot(state) + factor.dot(generator.standard_normal(4))
        truth.append(state)
    states = np.array(truth)
    noise = generator.standard_normal((160, 5, 2)) * SIGMA[:, None]
    return Track(states, states[:, None, ::2] + noise)


@dataclass
class Kalman:
    """One reading after the other."""

    state: np.ndarray
    cov: np.ndarray

    def predict(self) -> None:
        self.state, self.cov = (
            TRANSITION.dot(self.state),
            TRANSITION.dot(self.cov).dot(TRANSITION.T) + PROCESS,
        )

    def update(self, reading: np.ndarray, matrix: np.ndarray, noise: np.ndarray) -> float:
        """Returns the normalised innovation squared."""
        innovation, spread = reading - matrix.dot(self.state), matrix.dot(self.cov).dot(matrix.T) + noise
        gain = self.cov.dot(matrix.T).dot(np.linalg.inv(spread))
        self.state, self.cov = self.state + gain.dot(innovation), self.cov - gain.dot(matrix).dot(self.cov)
        return float(innovation.dot(np.linalg.solve(spread, innovation)))


PLAIN = FusionRules(prior_inlier=math.inf, prior_scale=math.inf, is_anchored=False, is_prior_judged=False)
FAULT = slice(60, 130)


def sources(num: int = 5, lineage: str | None = None) -> Sources:
    noise = SIGMA[:num, None, None] ** 2 * np.eye(2)
    return Sources(np.tile(POSITION, (num, 1, 1)), noise, lineage=lineage)


def fused(readings: np.ndarray, rules: FusionRules | None = None, **options: object) -> RobustFilter:
    return run(readings, rules, **options)[0]


def run(
    readings: np.ndarray, rules: FusionRules | None = None, lineage: str | None = None, num: int = 5
) -> tuple[RobustFilter, np.ndarray]:
    robust = RobustFilter(np.zeros(4), START, sources(num, lineage), rules, is_compiled=False)
    states = []
    for each in readings:
        robust.predict(TRANSITION, PROCESS)
        robust.update(each)
        states.append(robust.state.copy())
    return robust, np.array(states)


def error(states: np.ndarray, track: Track) -> float:
    """Root mean square position error while the fault holds."""
    return float(np.sqrt(((states - track.truth)[FAULT, ::2] ** 2).sum(axis=1).mean()))


def test_without_evidence_it_is_the_kalman_filter(track: Track) -> None:
    generator = np.random.default_rng(0)
    matrix = np.zeros((3, 2, 4))
    matrix[0], matrix[1], matrix[2, 0] = POSITION, generator.standard_normal((2, 4)), [1, 2, 0, 0]
    noise = np.array([np.eye(2), [[2.0, 0.6], [0.6, 1.0]], np.diag([0.5, 1.0])])
    mixed = Sources(matrix, noise, dims=(2, 2, 1))
    robust = RobustFilter(np.zeros(4), START, mixed, PLAIN, is_compiled=False)
    kalman = Kalman(np.zeros(4), START)
    for step, each in enumerate(track.readings[:60, :3].copy()):
        each[2, 1] = np.nan  # beyond the numbers of the third source
        if step % 3 == 0:
            each[1, 0] = np.nan
        robust.predict(TRANSITION, PROCESS)
        robust.update(each)
        kalman.predict()
        for source, num in enumerate((2, 2, 1)):
            if np.isfinite(each[source, :num]).all():
                kalman.update(each[source, :num], matrix[source, :num], noise[source, :num, :num])
        np.testing.assert_allclose(robust.state, kalman.state, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(robust.cov, kalman.cov, rtol=1e-9, atol=1e-9)


def test_with_a_hard_gate_it_is_the_gated_kalman_filter(track: Track) -> None:
    readings = track.readings[:, :1].copy()
    readings[40::9] += 30.0
    gate = 9.21
    rules = FusionRules(prior_scale=math.inf, gate=gate, is_anchored=False, is_prior_judged=False)
    robust, states = run(readings, rules, num=1)
    kalman, num_dropped = Kalman(np.zeros(4), START), 0
    for each, state in zip(readings[:, 0], states, strict=True):
        kalman.predict()
        before = Kalman(kalman.state, kalman.cov)
        if kalman.update(each, POSITION, np.eye(2)) > gate:
            kalman, num_dropped = before, num_dropped + 1
        np.testing.assert_allclose(state, kalman.state, rtol=1e-9, atol=1e-9)
    assert num_dropped > 10
    np.testing.assert_allclose(robust.cov, kalman.cov, rtol=1e-9)


def test_with_every_reading_an_inlier_it_is_the_variational_adaptive_filter(track: Track) -> None:
    """The scale as in Sarkka and Nummenmaa 2009, from innovations without the source's own reading."""
    readings = track.readings[:, :1].copy()
    readings[FAULT, 0] += 3 * (readings[FAULT, 0] - track.truth[FAULT, ::2])
    rules = FusionRules(prior_inlier=math.inf, is_anchored=False, is_prior_judged=False)
    robust, states = run(readings, rules, num=1)
    kalman, a, b, scales = Kalman(np.zeros(4), START), 10.0, 10.0, []
    for each, state in zip(readings[:, 0], states, strict=True):
        kalman.predict()
        innovation, spread = each - POSITION.dot(kalman.state), POSITION.dot(kalman.cov).dot(POSITION.T)
        scales.append(max(b / a, 1.0))
        kalman.update(each, POSITION, scales[-1] * np.eye(2))
        a = 0.97 * a + 0.3 + 1
        b = 0.97 * b + 0.3 + max(innovation.dot(innovation) - np.trace(spread), 0.0) / 2
        np.testing.assert_allclose(state, kalman.state, rtol=1e-9, atol=1e-9)
    assert max(scales) > 8
    assert robust.responsibility.tolist() == [1.0]


def test_a_faulty_source_is_found_and_does_little_harm(track: Track) -> None:
    stuck, biased, noisy = (track.readings.copy() for _ in range(3))
    stuck[FAULT, 4] = stuck[59, 4]
    biased[FAULT, 0] += 8.0
    noisy[FAULT, 2] += 5 * (noisy[FAULT, 2] - track.truth[FAULT, ::2])
    for readings, faulty in ((stuck, 4), (biased, 0), (noisy, 2)):
        without = readings.copy()
        without[FAULT, faulty] = np.nan
        assert error(run(readings)[1], track) < 1.2 * error(run(without)[1], track)
        trust = fused(readings[: FAULT.stop]).trust
        assert trust.argmin() == faulty
        assert trust[faulty] < 0.5 < np.delete(trust, faulty).min()


def test_two_that_drift_together_are_held_by_the_median(track: Track) -> None:
    readings = track.readings.copy()
    slide = 0.1 * np.arange(FAULT.stop - FAULT.start)[:, None]
    for source in (0, 4):
        readings[FAULT, source] += slide
    free = FusionRules(is_anchored=False)
    assert error(run(readings)[1], track) < 0.6 * error(run(readings, free)[1], track)


def test_agreeing_sources_correct_a_wrong_prior(track: Track) -> None:
    jumped = Track(track.truth.copy(), track.readings.copy())
    jumped.truth[FAULT.start :, 0] += 60.0
    jumped.readings[FAULT.start :, :, 0] += 60.0
    robust, states = run(jumped.readings)
    after = np.abs((states - jumped.truth)[FAULT.start + 8 : FAULT.stop, 0])
    assert robust.num_jumps == 1
    assert after.mean() < 1.0
    gated, states = run(jumped.readings, FusionRules(is_prior_judged=False))
    assert np.abs((states - jumped.truth)[FAULT.start + 4, 0]) > 20.0
    assert gated.num_jumps == 0


def test_one_source_cannot_reject_the_prior(track: Track) -> None:
    readings = track.readings[:, :2].copy()
    readings[FAULT, 1] += 60.0
    robust, states = run(readings, num=2)
    assert robust.num_jumps == 0
    kin, kin_states = run(np.repeat(readings[:, 1:], 2, axis=1), lineage="aa", num=2)
    assert kin.num_jumps == 0, "two sources of one lineage are one witness"
    assert np.isfinite(states).all()
    assert np.isfinite(kin_states).all()


def test_copies_of_a_source_with_its_lineage_add_nothing(track: Track) -> None:
    one = track.readings[:, :1]
    rules = FusionRules(prior_inlier=math.inf, prior_scale=math.inf, is_prior_judged=False)
    single = fused(one, rules, num=1)
    kin, strangers = (fused(np.repeat(one, 2, axis=1), rules, num=2, lineage=each) for each in ("aa", "ab"))
    np.testing.assert_allclose(kin.cov, single.cov, rtol=1e-9)
    np.testing.assert_allclose(kin.state, single.state, rtol=1e-9)
    assert np.trace(strangers.cov) < 0.9 * np.trace(single.cov)


def test_a_source_without_a_reading_does_not_change(track: Track) -> None:
    robust = fused(track.readings[:30])
    before, absent = robust.trust.copy(), np.full((5, 2), np.nan)
    cov = robust.cov.copy()
    robust.update(absent)
    assert np.array_equal(robust.cov, cov)
    absent[0] = track.readings[30, 0]
    robust.update(absent)
    assert np.array_equal(robust.trust[1:], before[1:])
    assert robust.trust[0] != before[0]


@pytest.mark.slow
def test_compiled_is_the_same(track: Track) -> None:
    readings = track.readings.copy()
    readings[FAULT, :2] += 9.0
    readings[100:, :, 0] += 50.0
    for lineage in (None, "aabcd"):
        pair = [
            RobustFilter(np.zeros(4), START, sources(5, lineage), is_compiled=is_compiled)
            for is_compiled in (True, False)
        ]
        for each in readings:
            for robust in pair:
                robust.predict(TRANSITION, PROCESS)
                robust.update(each)
            np.testing.assert_allclose(pair[0].state, pair[1].state, rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(pair[0].trust, pair[1].trust, rtol=1e-7)


def test_a_model_that_is_not_linear(track: Track) -> None:
    """Ranges to four beacons, one at a time; the second beacon repeats its last range."""
    beacons = np.array([[-40.0, -40.0], [60.0, -30.0], [50.0, 70.0], [-30.0, 60.0]])
    robust = RobustFilter(
        track.truth[0], np.eye(4), Sources(np.zeros((4, 1, 4)), np.full((4, 1, 1), 0.25)), is_compiled=False
    )

    def ranges(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = state[::2] - beacons
        length = np.linalg.norm(offset, axis=1, keepdims=True)
        jacobian = np.zeros((4, 1, 4))
        jacobian[:, 0, ::2] = offset / length
        return length, jacobian

    generator, errors = np.random.default_rng(5), []
    for step, truth in enumerate(track.truth):
        readings, beacon = np.full((4, 1), np.nan), step % 4
        readings[beacon] = ranges(truth)[0][beacon] + 0.5 * generator.standard_normal()
        if beacon == 1 and step > 50:
            readings[beacon] = 30.0
        robust.predict(lambda state: (TRANSITION.dot(state), TRANSITION), PROCESS)
        robust.update(readings, ranges)
        errors.append(np.linalg.norm((robust.state - truth)[::2]))
    assert np.mean(errors[20:]) < 1.5
    assert robust.trust.argmin() == 1
    assert robust.num_jumps == 0


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="positive definite"):
        Sources(np.zeros((1, 2, 4)), np.zeros((1, 2, 2)))
    with pytest.raises(InputError, match="lineage has 2"):
        Sources(np.zeros((1, 2, 4)), np.eye(2)[None], lineage="aa")
    with pytest.raises(InputError, match="dims are"):
        Sources(np.zeros((1, 2, 4)), np.eye(2)[None], dims=(3,))
    with pytest.raises(InputError, match="matrix is"):
        Sources(np.zeros((1, 2, 4)), np.eye(3)[None])
    with pytest.raises(InputError, match="the sources have D 4"):
        RobustFilter(np.zeros(3), START, sources())
    with pytest.raises(InputError, match="readings are"):
        RobustFilter(np.zeros(4), START, sources()).update(np.zeros((5, 3)))
    with pytest.raises(InputError, match="forgetting"):
        FusionRules(forgetting=1.0)
    with pytest.raises(InputError, match="prior_scale"):
        FusionRules(prior_scale=0.0)


def test_a_noise_ratio_is_a_filter_of_that_noise(track: Track) -> None:
    factor = np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    scaled = Sources(
        np.tile(POSITION, (5, 1, 1)), (SIGMA * factor)[:, None, None] ** 2 * np.eye(2), lineage=None
    )
    one = RobustFilter(np.zeros(4), START, sources(), is_compiled=False)
    other = RobustFilter(np.zeros(4), START, scaled, is_compiled=False)
    for readings in track.readings[:60]:
        for fusion in (one, other):
            fusion.predict(TRANSITION, PROCESS)
        one.update(readings, noise_ratio=factor)
        other.update(readings)
    np.testing.assert_allclose(one.state, other.state, rtol=1e-9)
    np.testing.assert_allclose(one.trust, other.trust, rtol=1e-9)
    np.testing.assert_allclose(one.nis, other.nis, rtol=1e-9)


def test_a_rejected_reading_is_an_outlier_that_is_not_fused(track: Track) -> None:
    fusion = fused(track.readings[:40])
    state, before = fusion.state.copy(), fusion.trust.copy()
    for _ in range(10):
        fusion.reject(np.arange(5) == 2)
    np.testing.assert_array_equal(fusion.state, state)
    assert fusion.responsibility[2] == 0.0
    assert fusion.trust[2] < 0.8 * before[2]
    np.testing.assert_array_equal(np.delete(fusion.trust, 2), np.delete(before, 2))


def test_evidence_without_the_state_is_loaded(track: Track) -> None:
    fusion = fused(track.readings[:80])
    young = RobustFilter(np.zeros(4), START, sources(), is_compiled=False)
    young.load_learned(fusion.learned())
    np.testing.assert_array_equal(young.trust, fusion.trust)
    np.testing.assert_array_equal(young.state, np.zeros(4))
    with pytest.raises(InputError, match="evidence"):
        RobustFilter(np.zeros(4), START, sources(3), is_compiled=False).load_learned(fusion.learned())


def test_with_a_limit_a_single_reading_far_off_is_soon_forgotten(track: Track) -> None:
    readings = track.readings.copy()
    readings[100, 1] += 1e4
    trusts = {}
    for limit in (math.inf, 20.0):
        trusts[limit] = fused(readings[:130], FusionRules(anchor_limit=limit)).trust[1]
    assert trusts[math.inf] < 0.1 < 0.6 < trusts[20.0]
    with pytest.raises(InputError, match="anchor_limit"):
        FusionRules(anchor_limit=0.0)
