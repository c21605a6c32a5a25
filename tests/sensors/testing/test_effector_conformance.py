"""The kit passes what keeps the contract, and names what does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock, RealClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.conformance import CheckResult, check_effector
from sage.sensors.contract import Action, EffectorSpec, SensorContext, SensorError
from sage.sensors.effectors.holding import HoldingEffector
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector
from sage.sensors.limits import EffectorLimits

CLOCK = RealClock()
CONTEXT = SensorContext(clock=CLOCK, epoch_ns=0)


def failures(kind: Callable[..., RecordingEffector], **settings: Any) -> set[str]:
    results = check_effector(
        lambda: kind(RecordingConfig.model_validate({"size": 2, "timeout_secs": 10, **settings}), CONTEXT),
        clock=CLOCK,
    )
    return {result.name for result in results if not result.is_ok}


@pytest.mark.parametrize("num_steps", [0, 4])
@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("float32", -1, 1), ("float64", 0, 0.1), ("uint8", 10, 200), ("int16", -5, 5)]
)
def test_the_recording_effector_keeps_the_contract(
    num_steps: int, dtype: str, low: float, high: float
) -> None:
    assert not failures(RecordingEffector, num_steps=num_steps, dtype=dtype, low=low, high=high)


@pytest.mark.parametrize("max_rate_hz", [0.5, 1.0, 2.0])
def test_an_effector_with_a_slow_rate_limit_keeps_the_contract(max_rate_hz: float) -> None:
    spec = EffectorSpec(
        name="gate",
        effect="motion",
        target="world",
        tensor=TensorSpec(shape=(1,)),
        low=(-1.0,),
        high=(1.0,),
        timeout_secs=10.0,
        limits=EffectorLimits(max_rate_hz=max_rate_hz),
    )

    class Slow(HoldingEffector):
        Config = RecordingConfig

    results = check_effector(lambda: Slow(spec), clock=CLOCK)
    assert {result.name: result.detail for result in results if not result.is_ok} == {}


class DoesAnything(RecordingEffector):
    def _done(self, values: np.ndarray, stamp_ns: int) -> Action:
        return Action(spec=self.spec, values=values, stamp_ns=stamp_ns)


class KeepsAbort(RecordingEffector):
    def open(self) -> None:
        self._is_open = True


class IgnoresAbort(RecordingEffector):
    def abort(self) -> None:
        pass


class AlwaysOpen(RecordingEffector):
    def close(self) -> None:
        pass


class ReturnsValues(RecordingEffector):
    def apply(self, values: np.ndarray, stamp_ns: int) -> Any:
        return values


class ActsLate(RecordingEffector):
    """What it does during an abort ends the hold, and only its first abort does anything."""

    _has_aborted = False

    def abort(self) -> None:
        if not self._has_aborted:
            self._has_aborted = True
            super().abort()

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        action = super().apply(values, stamp_ns)
        if self._is_held:
            self._is_held = False
        return action


class RaisesOnAbort(RecordingEffector):
    def abort(self) -> None:
        raise SensorError("no brake")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (DoesAnything, {"what_is_out_of_range_is_limited_or_held", "what_is_not_finite_is_held"}),
        (KeepsAbort, {"it_holds_after_abort_until_opened"}),
        (IgnoresAbort, {"it_holds_after_abort_until_opened"}),
        (AlwaysOpen, {"applying_while_closed_raises"}),
        (ReturnsValues, {"an_action_within_range_is_done", "it_acts_within_its_time_limit"}),
        (ActsLate, {"it_stops_during_an_action"}),
        (RaisesOnAbort, {"it_holds_after_abort_until_opened"}),
    ],
)
def test_what_breaks_the_contract_is_named(
    kind: Callable[..., RecordingEffector], expected: set[str]
) -> None:
    assert expected <= failures(kind)


def test_an_effector_that_hangs_is_a_result() -> None:
    release = threading.Event()

    class Hangs(RecordingEffector):
        def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
            release.wait()
            return super().apply(values, stamp_ns)

    results = check_effector(lambda: Hangs(RecordingConfig(), CONTEXT), clock=CLOCK, timeout_secs=0.2)
    release.set()
    failed: dict[str, CheckResult] = {result.name: result for result in results if not result.is_ok}
    assert "hangs" in failed["an_action_within_range_is_done"].detail
    assert "it_acts_within_its_time_limit" in failed


def test_it_runs_on_a_manual_clock() -> None:
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    results = check_effector(lambda: RecordingEffector(RecordingConfig(), context), clock=clock)
    assert all(result.is_ok for result in results)
