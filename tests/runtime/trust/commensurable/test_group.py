"""A group of measurements: the library's filter with a clock; a fault costs the estimate little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.measurements_config import MeasurementConfig
from sage.runtime.trust.commensurable.group import MeasurementGroup
from sage.runtime.trust.commensurable.plan import plan_of
from sage.runtime.trust.commensurable.robust_filter import RobustFilter
from sage.runtime.trust.commensurable.rules import Sources
from sage.sensors.contract import SensorSpec
from sage.sensors.estimate import Estimate

PERIOD_NS = 50_000_000
SIGMA = np.array([0.3, 0.3, 0.2, 0.5, 0.4])
NAMES = tuple("abcde")
NOTHING = np.full(5, np.nan)


def group(num_values: int = 2, num: int = 5, **changed: Any) -> MeasurementGroup:
    specs = {
        name: SensorSpec(
            name=name,
            modality="physical",
            tensor=TensorSpec(shape=(num_values,)),
            period_ns=PERIOD_NS,
            observes=("position", "m"),
        )
        for name in NAMES[:num]
    }
    sources = [{"name": name, "noise_std": sigma} for name, sigma in zip(specs, SIGMA.tolist())]
    given = {"name": "p", "sources": sources, "motion": "constant_velocity", "motion_std": 1.0} | changed
    return MeasurementGroup(plan_of(MeasurementConfig.model_validate(given), specs), is_compiled=False)


@dataclass
class Track:
    """truth: (T, 2).  readings: (T, 5, 2)."""

    truth: np.ndarray
    readings: np.ndarray

    def changed(self, change: Callable[[np.ndarray], None]) -> Track:
        readings = self.readings.copy()
        change(readings)
        return Track(self.truth, readings)


@pytest.fixture(scope="module")
def track() -> Track:
    secs = 0.05 * np.arange(300)
    truth = np.stack([secs, 2 * np.sin(0.5 * secs)], axis=1)
    noise = np.random.default_rng(5).standard_normal((300, 5, 2)) * SIGMA[:, None]
    return Track(truth, truth[:, None] + noise)


@dataclass
class Passed:
    """What came of the track's readings. trust: (T, 6)."""

    trust: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))
    estimates: list[Estimate | None] = field(default_factory=list)

    def error(self, truth: np.ndarray, steps: slice) -> float:
        """Root mean square, over the steps with an estimate."""
        found = [
            float(((estimate.values - exact) ** 2).mean())
            for estimate, exact in zip(self.estimates[steps], truth[steps])
            if estimate is not None
        ]
        return float(np.sqrt(np.mean(found)))


def passed(form: MeasurementGroup, track: Track, claims: np.ndarray = NOTHING) -> Passed:
    result = Passed()
    for step, readings in enumerate(track.readings):
        now_ns = step * PERIOD_NS
        result.estimates.append(form.meet(readings, np.full(5, now_ns), claims, now_ns))
        result.trust = np.vstack([result.trust, form.trust])
    return result


def test_it_equals_the_library_filter_on_the_same_readings(track: Track) -> None:
    form = group()
    result = passed(form, track)
    position = np.eye(2, 4)
    library = RobustFilter(
        np.append(np.median(track.readings[0], axis=0), [0.0, 0.0]),
        (100 * SIGMA.max()) ** 2 * np.eye(4),
        Sources(np.tile(position, (5, 1, 1)), SIGMA[:, None, None] ** 2 * np.eye(2)),
        is_compiled=False,
    )
    secs = PERIOD_NS * 1e-9
    moved = np.kron([[1.0, secs], [0.0, 1.0]], np.eye(2))
    added = np.kron([[secs**3 / 3, secs**2 / 2], [secs**2 / 2, secs]], np.eye(2))
    for step, readings in enumerate(track.readings):
        if step:
            library.predict(moved, added)
        library.update(readings)
        estimate = result.estimates[step]
        assert estimate is not None
        np.testing.assert_allclose(estimate.values, library.state[:2], rtol=1e-9)
    np.testing.assert_allclose(form.trust[:5], library.trust, rtol=1e-9)
    np.testing.assert_allclose(form.nis[:5], library.nis / 2, rtol=1e-9)
    assert estimate.noise_std == pytest.approx(np.sqrt(np.diagonal(library.cov)[:2].mean()))


def test_claims_of_the_readings_give_what_the_same_stated_noise_gives(track: Track) -> None:
    stated, claimed = group(), group(sources=list(NAMES))
    one, other = passed(stated, track), passed(claimed, track, SIGMA)
    np.testing.assert_allclose(one.trust, other.trust, rtol=1e-9)
    last, same = one.estimates[-1], other.estimates[-1]
    assert last is not None
    assert same is not None
    np.testing.assert_allclose(last.values, same.values, rtol=1e-9)


def test_a_noise_that_changes_changes_the_weight(track: Track) -> None:
    form = group(sources=list(NAMES))
    half = Track(track.truth[:150], track.readings[:150])
    passed(form, half, SIGMA)
    far = track.truth[150] + 1.0  # about two of the prediction's and five of the claimed deviations
    readings = np.full((5, 2), np.nan)
    readings[2] = far
    exact, vague = (SIGMA, np.where(np.arange(5) == 2, 50.0, SIGMA))
    before = form.fusion.state[:2].copy()
    estimate = form.meet(readings, np.full(5, 150 * PERIOD_NS), vague, 150 * PERIOD_NS)
    assert estimate is not None
    assert np.abs(estimate.values - before).max() < 0.1
    again = group(sources=list(NAMES))
    passed(again, half, SIGMA)
    again.meet(readings, np.full(5, 150 * PERIOD_NS), exact, 150 * PERIOD_NS)
    assert again.nis[2] > form.nis[2]


def stuck(readings: np.ndarray) -> None:
    readings[100:, 2] = readings[100, 2]


def test_a_stuck_source_loses_trust_and_the_estimate_stays_near_that_of_the_others(track: Track) -> None:
    form = group()
    result = passed(form, track.changed(stuck))
    late = slice(120, None)
    assert form.is_stuck.tolist() == [False, False, True, False, False, False]
    assert form.trust[2] < 0.3 < 0.7 < min(np.delete(form.trust, 2))
    assert form.responsibility[2] == 0.0
    without = [{"name": name, "noise_std": s} for name, s in zip(NAMES, SIGMA.tolist()) if name != "c"]
    others = MeasurementGroup(plan_of_four(without), is_compiled=False)
    four = Passed()
    for step, readings in enumerate(track.readings):
        at = np.full(4, step * PERIOD_NS)
        four.estimates.append(others.meet(np.delete(readings, 2, axis=0), at, NOTHING[:4], step * PERIOD_NS))
    error = result.error(track.truth, late)
    mean = track.changed(stuck).readings.mean(axis=1)
    assert error < 1.02 * four.error(track.truth, late)
    assert 4 * error < float(np.sqrt(((mean - track.truth)[late] ** 2).mean()))


def plan_of_four(sources: list[dict[str, Any]]) -> Any:
    specs = {
        each["name"]: SensorSpec(
            name=each["name"],
            modality="physical",
            tensor=TensorSpec(shape=(2,)),
            period_ns=PERIOD_NS,
            observes=("position", "m"),
        )
        for each in sources
    }
    given = {"name": "p", "sources": sources, "motion": "constant_velocity", "motion_std": 1.0}
    return plan_of(MeasurementConfig.model_validate(given), specs)


def test_a_source_that_was_stuck_recovers(track: Track) -> None:
    def for_a_while(readings: np.ndarray) -> None:
        readings[60:140, 2] = readings[60, 2]

    result = passed(group(), track.changed(for_a_while))
    assert result.trust[139, 2] < 0.3
    assert result.trust[-1, 2] > 0.7


def test_a_biased_source_loses_trust_without_a_repeat(track: Track) -> None:
    def biased(readings: np.ndarray) -> None:
        readings[100:, 0] += 3.0

    form = group()
    result = passed(form, track.changed(biased))
    assert form.trust[0] < 0.3 < 0.7 < min(form.trust[1:])
    assert result.error(track.truth, slice(120, None)) < 0.15


def test_after_a_jump_of_the_state_the_estimate_follows(track: Track) -> None:
    moved = Track(track.truth.copy(), track.readings.copy())
    moved.truth[150:] += 8.0
    moved.readings[150:] += 8.0
    form = group()
    result = passed(form, moved)
    assert form.num_jumps == 1
    assert result.estimates[150] is None  # every source contradicts the estimate: it is no measurement
    assert result.error(moved.truth, slice(170, None)) < 1.2 * result.error(moved.truth, slice(20, 150))
    assert min(form.trust) > 0.7


def test_without_a_reading_there_is_no_estimate_and_nothing_changes(track: Track) -> None:
    form = group()
    passed(form, track)
    before = form.state()
    silent = np.full((5, 2), np.nan)
    assert form.meet(silent, np.zeros(5, np.int64), NOTHING, 400 * PERIOD_NS) is None
    assert all(np.array_equal(array, form.state()[name]) for name, array in before.items())


def test_readings_that_are_not_finite_are_absent(track: Track) -> None:
    def broken(readings: np.ndarray) -> None:
        readings[10:, 1, 0] = np.nan
        readings[10:, 3] = np.inf

    form = group()
    result = passed(form, track.changed(broken))
    before = result.trust[9]
    assert form.trust[[1, 3]].tolist() == before[[1, 3]].tolist()
    assert result.error(track.truth, slice(20, None)) < 0.15


@pytest.mark.parametrize("value", [1e6, 3e38, 1e300])
def test_an_absurd_reading_leaves_the_estimate_alone(track: Track, value: float) -> None:
    def absurd(readings: np.ndarray) -> None:
        readings[100, 1] = value

    form = group()
    result = passed(form, track.changed(absurd))
    assert result.error(track.truth, slice(95, 130)) < 0.15
    assert np.isfinite(form.trust).all()
    assert result.trust[100, 1] < result.trust[99, 1]


def test_late_readings_count_at_their_own_time(track: Track) -> None:
    """A source whose readings arrive four steps late is as good as one that is not, but for the noise of the
    motion; taken for new ones, they would be wrong by 0.2.
    """
    form, errors = group(), []
    for step in range(4, 300):
        readings, at = track.readings[step].copy(), np.full(5, step * PERIOD_NS)
        readings[2], at[2] = track.readings[step - 4, 2], (step - 4) * PERIOD_NS
        estimate = form.meet(readings, at, NOTHING, step * PERIOD_NS)
        assert estimate is not None
        assert estimate.captured_ns == step * PERIOD_NS
        errors.append(estimate.values - track.truth[step])
    assert form.trust[2] > 0.85
    assert np.abs(np.mean(errors[50:], axis=0)).max() < 0.03


def test_time_does_not_go_back_when_only_an_old_reading_comes(track: Track) -> None:
    form = group()
    passed(form, track)
    readings = np.full((5, 2), np.nan)
    readings[0] = track.readings[297, 0]
    estimate = form.meet(readings, np.full(5, 297 * PERIOD_NS), NOTHING, 300 * PERIOD_NS)
    assert estimate is not None
    assert estimate.captured_ns == 299 * PERIOD_NS
    readings[0] = track.readings[0, 0]
    too_old = form.meet(readings, np.full(5, 0), NOTHING, 300 * PERIOD_NS)
    assert too_old is None


def test_a_stamp_ahead_of_the_clock_is_taken_as_now(track: Track) -> None:
    form = group()
    passed(form, track)
    ahead = np.full(5, 10_000 * PERIOD_NS)
    estimate = form.meet(track.readings[299], ahead, NOTHING, 300 * PERIOD_NS)
    assert estimate is not None
    assert estimate.captured_ns == 300 * PERIOD_NS


def test_evidence_is_restored_source_by_source(track: Track) -> None:
    form = group()
    passed(form, track.changed(stuck))
    young = group()
    young.load_state(form.state())
    np.testing.assert_array_equal(young.trust[:5], form.trust[:5])
    assert young.state().keys() == form.state().keys()
    assert all(np.array_equal(array, young.state()[name]) for name, array in form.state().items())
    fewer = group(num=3, sources=[{"name": name, "noise_std": 0.3} for name in "abc"])
    fewer.load_state(form.state())
    np.testing.assert_array_equal(fewer.trust[:3], form.trust[:3])
    estimate = young.meet(track.readings[0], np.zeros(5, np.int64), NOTHING, 0)  # another clock
    assert estimate is not None
    assert np.abs(estimate.values - track.truth[0]).max() < 0.6


@pytest.mark.parametrize("claim", [np.nan, 0.0])
def test_a_reading_without_a_noise_is_refused_in_one_line(track: Track, claim: float) -> None:
    form = group(sources=list(NAMES))
    claims = SIGMA.copy()
    claims[3] = claim
    with pytest.raises(InputError, match=r"^measurements\.p\.sources\.d: .* give it noise_std"):
        form.meet(track.readings[0], np.zeros(5, np.int64), claims, 0)


def test_no_estimate_before_every_value_is_measured() -> None:
    parts = [
        {"name": "a", "noise_std": 0.3, "channels": [0, 1]},
        {"name": "b", "noise_std": 0.3, "channels": [2, 0]},
    ]
    form = group(num=2, sources=parts, motion="constant")
    first = np.array([[1.0, 2.0], [np.nan, np.nan]])
    assert form.meet(first, np.zeros(2, np.int64), NOTHING[:2], 0) is None
    second = np.array([[np.nan, np.nan], [3.0, 1.0]])
    estimate = form.meet(second, np.full(2, PERIOD_NS), NOTHING[:2], PERIOD_NS)
    assert estimate is not None
    np.testing.assert_allclose(estimate.values, [1.0, 2.0, 3.0], atol=1e-6)


def test_a_rate_moves_the_value() -> None:
    """A wheel that measures speed carries the position between two readings of a slow receiver."""
    sources = [{"name": "a", "noise_std": 0.1}, {"name": "b", "noise_std": 0.01, "measures": "rate"}]
    form = group(num_values=1, num=2, sources=sources, motion_std=0.1)
    for step in range(200):
        readings = np.array([[0.05 * step if step % 20 == 0 else np.nan], [1.0]])
        estimate = form.meet(readings, np.full(2, step * PERIOD_NS), NOTHING[:2], step * PERIOD_NS)
        if step > 60:
            assert estimate is not None
            assert estimate.values[0] == pytest.approx(0.05 * step, abs=0.05)
            assert 0 < estimate.confidence <= 1


def test_another_context_moves_the_evidence_on_a_source_and_no_other(track: Track) -> None:
    form = group()
    equal, worse, left = np.full(6, 0.9), np.array([0.9, 0.9, 0.3, 0.9, 0.9, 0.9]), np.ones(6)
    before = form.share.copy()
    form.change_context(equal, worse, left)  # before the first reading there is nothing to move
    np.testing.assert_array_equal(form.share, before)
    passed(form, track)
    trust, share = form.trust.copy(), form.share.copy()
    form.change_context(equal, equal, left)
    np.testing.assert_array_equal(form.trust, trust)
    form.change_context(equal, worse, left)
    others = np.array([0, 1, 3, 4])
    np.testing.assert_allclose(form.trust[others], trust[others], rtol=1e-12)
    assert 0.1 <= form.share[2] < share[2] - 0.2
    assert form.trust[2] < trust[2] - 0.2
    form.change_context(worse, equal, share)
    assert form.share[2] == pytest.approx(share[2], abs=0.02)


@pytest.mark.parametrize("secs", [60, 86_400, 30 * 86_400])
def test_after_a_long_silence_the_state_begins_anew_and_the_evidence_stays(secs: int, track: Track) -> None:
    form = group()
    passed(form, track)
    share, start_ns = form.share.copy(), (300 + 20 * secs) * PERIOD_NS
    for step in range(40):
        readings = np.where(np.arange(5)[:, None] == step % 5, track.readings[step], np.nan)
        now_ns = start_ns + step * PERIOD_NS
        form.meet(readings, np.full(5, now_ns), NOTHING, now_ns)
    assert np.isfinite(form.trust).all()
    np.testing.assert_allclose(form.share, share, atol=0.1)
    assert form.fusion is not None
    np.testing.assert_allclose(form.fusion.state[:2], track.truth[39], atol=1.0)


@pytest.mark.parametrize("claim", [1e-300, 1e-10, 0.0, -1.0, np.inf, 1e200])
def test_a_claim_that_is_not_comparable_with_the_others_is_not_used(claim: float, track: Track) -> None:
    sources = [{"name": name} for name in NAMES]
    form, usual = group(sources=sources), passed(group(sources=sources), track, SIGMA)
    for step, readings in enumerate(track.readings):
        claims = np.where((np.arange(5) == 2) & (step >= 10), claim, SIGMA)
        now_ns = step * PERIOD_NS
        form.meet(readings, np.full(5, now_ns), claims, now_ns)
    np.testing.assert_allclose(form.trust, usual.trust[-1])


def test_a_source_that_claims_no_noise_later_is_left_out(track: Track) -> None:
    form = group(sources=[{"name": name} for name in NAMES])
    for step, readings in enumerate(track.readings[:100]):
        present = (np.arange(5) != 3) | (step > 50)
        now_ns = step * PERIOD_NS
        claims = np.where(np.arange(5) == 3, np.nan, SIGMA)
        form.meet(np.where(present[:, None], readings, np.nan), np.full(5, now_ns), claims, now_ns)
    assert form.unclaimed == ("d",)
    assert np.isnan(form.verdict[3])
    assert np.isnan(form.nis[3])
    assert form.trust[0] > 0.7


def test_a_verdict_is_of_the_reading_and_not_of_what_was_learned_of_its_source(track: Track) -> None:
    def wrong(readings: np.ndarray) -> None:
        readings[100:200, 2] += 10.0

    form, verdicts = group(), []
    for step, readings in enumerate(track.changed(wrong).readings):
        form.meet(readings, np.full(5, step * PERIOD_NS), NOTHING, step * PERIOD_NS)
        verdicts.append(form.verdict.copy())
    assert np.mean(verdicts[110:200], axis=0)[2] < 0.1
    assert np.mean(verdicts[202:210], axis=0)[2] > 0.7  # distrusted still
    assert np.isnan(np.array(verdicts)[:, 5]).all()
    form.meet(np.full((5, 2), np.nan), np.zeros(5), NOTHING, 301 * PERIOD_NS)
    assert np.isnan(form.verdict).all()
