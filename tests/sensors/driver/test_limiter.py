"""Limits hold whatever is requested: range, workspace, slew and rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import LimitsConfig
from sage.sensors.contract import Action, EffectorSpec, SensorContext, SensorError
from sage.sensors.driver.effector_driver import EffectorDriver, EffectorTooSoon
from sage.sensors.driver.limiter import ActionLimiter
from sage.sensors.driver.stoppable import EffectorHeld
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector
from sage.sensors.limits import MAX_SLEW_SECS, EffectorLimits, EffectorSettings

finite = st.floats(-1e6, 1e6)


def spec(dtype: str = "float64", limits: EffectorLimits | None = None, **changes: object) -> EffectorSpec:
    values = {
        "name": "arm",
        "effect": "motion",
        "target": "arm",
        "tensor": TensorSpec(shape=(2,), dtype=dtype),
        "low": (-2.0, -2.0),
        "high": (2.0, 2.0),
        "channels": ("shoulder", "elbow"),
        "limits": limits or EffectorLimits(),
    }
    return EffectorSpec(**{**values, **changes})


@given(
    st.lists(st.tuples(st.tuples(finite, finite), st.integers(1, 10**9)), max_size=20),
    st.floats(0.01, 100),
    st.sampled_from(["float64", "float32", "int16"]),
)
@settings(max_examples=100, deadline=None)
def test_what_is_done_is_in_the_workspace_and_within_the_slew(steps, slew: float, dtype: str):
    limits = EffectorLimits(max_slew=(slew, math.inf), low=(-1.0, -0.5), high=(0.5, 1.5))
    limiter = ActionLimiter(spec(dtype, limits))
    clock, before_ns, before = ManualClock(), None, np.zeros(2)
    for values, pause_ns in steps:
        clock.advance(pause_ns)
        now_ns = clock.now_ns()
        wanted = np.array(np.clip(values, -30_000, 30_000), dtype=dtype)
        done, names = limiter.limited(wanted, now_ns)
        secs = MAX_SLEW_SECS if before_ns is None else min(MAX_SLEW_SECS, (now_ns - before_ns) * 1e-9)
        assert abs(float(done[0]) - before[0]) <= slew * secs + 1e-5
        assert (done >= np.array([-1.0, -0.5]) - 1e-6).all()
        assert (done <= np.array([0.5, 1.5]) + 1e-6).all()
        assert bool(names) == bool((done != wanted).any())
        limiter.note_done(Action(spec=spec(dtype, limits), values=done, stamp_ns=now_ns))
        before, before_ns = done.astype(np.float64), now_ns


@given(st.lists(st.integers(0, 300_000_000), max_size=60), st.floats(0.5, 30))
@settings(max_examples=100, deadline=None)
def test_in_any_second_there_are_no_more_actions_than_the_rate(pauses_ns: list[int], rate_hz: float):
    limiter = ActionLimiter(spec(limits=EffectorLimits(max_rate_hz=rate_hz)))
    now_ns, applied = 0, []
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        if not limiter.is_too_soon(now_ns):
            limiter.note_applied(now_ns)
            applied.append(now_ns)
    num = max(1, int(rate_hz))
    window_ns = round(num / rate_hz * 1e9)
    assert all(late - early >= window_ns for early, late in zip(applied, applied[num:]))


def test_a_workspace_of_the_spec_holds_and_the_slew_does_not_leave_it():
    def in_circle(values: np.ndarray) -> np.ndarray:
        return values / max(1.0, float(np.hypot(*values)))

    limiter = ActionLimiter(spec(limits=EffectorLimits(permit=in_circle)))
    done, names = limiter.limited(np.array([2.0, 0.0]), 0)
    assert done.tolist() == [1.0, 0.0]
    assert names == ("workspace",)
    assert limiter.limited(np.array([0.3, 0.3]), 0)[1] == ()


def test_where_the_slew_leads_out_of_the_workspace_the_effector_stays():
    def not_between(values: np.ndarray) -> np.ndarray:
        """A wall at 0.5 of the first channel; both sides are permitted."""
        first = values[0] if abs(values[0] - 0.5) >= 0.2 else 0.7
        return np.array([first, values[1]])

    limiter = ActionLimiter(spec(limits=EffectorLimits(permit=not_between, max_slew=(4.0, 4.0))))
    done, names = limiter.limited(np.array([1.0, 0.0]), 0)
    assert done.tolist() == [0.0, 0.0]
    assert names == ("slew", "workspace")


@pytest.mark.parametrize("returned", [np.array([np.nan, 0.0]), np.zeros(3), "nothing"])
def test_a_workspace_function_that_fails_is_a_fault(returned: object):
    limiter = ActionLimiter(spec(limits=EffectorLimits(permit=lambda values: returned)))
    with pytest.raises(SensorError, match="arm: the workspace"):
        limiter.limited(np.zeros(2), 0)


def test_each_step_of_a_chunk_is_within_the_slew():
    chunk = {"tensor": TensorSpec(shape=(3, 2), dtype="float64"), "step_secs": 0.02}
    limiter = ActionLimiter(spec(limits=EffectorLimits(max_slew=(1.0, 1.0)), **chunk))
    done, names = limiter.limited(np.full((3, 2), 2.0), 0)
    assert done[:, 0] == pytest.approx([0.1, 0.12, 0.14])
    assert names == ("slew",)
    with pytest.raises(InputError, match="step_secs"):
        spec(limits=EffectorLimits(max_slew=(1.0, 1.0)), tensor=chunk["tensor"])


def test_the_tighter_of_two_limits_holds():
    one = EffectorLimits(max_rate_hz=5, max_slew=(1.0, 3.0), low=(-1.0, -1.0), high=(1.0, 1.0))
    other = EffectorLimits(max_rate_hz=9, max_slew=(2.0, 2.0), low=(-0.5, -9.0), high=(9.0, 0.5))
    both = one.combined(other)
    assert both == other.combined(one)
    assert (both.max_rate_hz, both.max_slew) == (5, (1.0, 2.0))
    assert (both.low, both.high) == ((-0.5, -1.0), (1.0, 0.5))
    assert one.combined(EffectorLimits()) == one


def test_limits_of_a_configuration_go_by_channel_name_or_index():
    config = LimitsConfig(max_slew={"elbow": 3.0}, workspace={"0": (0.0, 1.0)})
    limits = config.limits_for(("shoulder", "elbow"), 2)
    assert limits.max_slew == (math.inf, 3.0)
    assert (limits.low, limits.high) == ((0.0, -math.inf), (1.0, math.inf))
    with pytest.raises(InputError, match="no channel wrist: give one of 0, 1, shoulder, elbow"):
        LimitsConfig(workspace={"wrist": (0.0, 1.0)}).limits_for(("shoulder", "elbow"), 2)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_rate_hz": 0.0}, "max_rate_hz is 0"),
        ({"max_slew": (0.0, 1.0)}, "max_slew"),
        ({"low": (1.0, 0.0), "high": (0.0, 1.0)}, "low < high"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, object], problem: str):
    with pytest.raises(InputError, match=problem):
        EffectorLimits(**limits)


@pytest.mark.parametrize(
    "limits",
    [EffectorLimits(max_slew=(1.0,)), EffectorLimits(low=(3.0, 0.0), high=(4.0, 1.0))],
)
def test_limits_that_do_not_fit_the_spec_are_refused(limits: EffectorLimits):
    with pytest.raises(InputError, match=r"arm: .*channel"):
        spec(limits=limits)


@pytest.fixture
def recording(clock: ManualClock) -> RecordingEffector:
    config = RecordingConfig(timeout_secs=60.0)
    return RecordingEffector(config, SensorContext(clock=clock, epoch_ns=0))


def test_the_driver_skips_what_is_too_soon_and_does_not_abort(
    recording: RecordingEffector, clock: ManualClock
):
    limits = EffectorSettings(limits=EffectorLimits(max_rate_hz=1.0))
    driver = EffectorDriver(recording, clock=clock, is_inline=True, settings=limits)
    driver.open()
    for _ in range(2):
        driver.begin(np.array([0.5], np.float32), clock.now_ns())
        assert driver.finish().values.tolist() == [0.5]
        clock.advance(500_000_000)
        driver.begin(np.array([0.6], np.float32), clock.now_ns())
        with pytest.raises(EffectorTooSoon):
            driver.finish()
        assert driver.limited_by == ("rate",)
        clock.advance(500_000_000)
    assert driver.num_faults == 0
    assert len(recording.actions) == 2


def test_a_dry_run_limits_and_applies_nothing(recording: RecordingEffector, clock: ManualClock):
    settings = EffectorSettings(limits=EffectorLimits(max_slew=(1.0,)), is_dry=True)
    driver = EffectorDriver(recording, clock=clock, is_inline=True, settings=settings)
    driver.open()
    for wanted in (0.1, 0.2):
        driver.begin(np.array([1.0], np.float32), clock.now_ns())
        action = driver.finish()
        assert action.is_held
        assert action.values == pytest.approx([wanted])
        clock.advance(100_000_000)
    assert not recording.actions
    assert not recording._is_open
    driver.close()


def test_a_stop_from_another_thread_holds_until_released(recording: RecordingEffector, clock: ManualClock):
    driver = EffectorDriver(recording, clock=clock, is_inline=False)
    driver.open()
    assert driver.stop().wait(10)
    assert recording._is_held
    driver.begin(np.array([0.5], np.float32), clock.now_ns())
    with pytest.raises(EffectorHeld, match="stopped"):
        driver.finish()
    driver.release()
    driver.begin(np.array([0.5], np.float32), clock.now_ns())
    assert driver.finish().values.tolist() == [0.5]
    driver.close()


def test_a_device_that_opens_during_a_stop_is_aborted(recording: RecordingEffector, clock: ManualClock):
    driver = EffectorDriver(recording, clock=clock, is_inline=True)
    opened = recording.open

    def slow() -> None:
        driver._device.stop()  # what `stop` does first, on another thread
        opened()

    recording.open = slow
    with pytest.raises(EffectorHeld):
        driver.open()
    assert recording._is_held
