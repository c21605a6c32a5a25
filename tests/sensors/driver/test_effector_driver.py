"""An effector that raises or hangs costs its own actions; its owner never waits longer than the limit."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Action, SensorContext, SensorError
from sage.sensors.driver.effector_driver import (
    BACKOFF_SECS,
    EffectorDriver,
    EffectorTimeout,
)
from sage.sensors.driver.stoppable import EffectorHeld
from sage.sensors.effectors.recording import RecordingConfig, RecordingEffector

VALUES = np.array([0.5], dtype=np.float32)


class Device(RecordingEffector):
    """Notes its calls; `gates` has an event for each call that must wait for it, `faults` what to raise."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(RecordingConfig(timeout_secs=60.0), SensorContext(clock=clock, epoch_ns=0))
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.gates: dict[str, threading.Event] = {}
        self.faults: dict[str, BaseException] = {}
        self.aborted = threading.Event()

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.get_ident())
        if name in self.gates:
            self.gates[name].wait()
        if name in self.faults:
            raise self.faults[name]

    def open(self) -> None:
        self._enter("open")
        super().open()

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        self._enter("apply")
        return super().apply(values, stamp_ns)

    def abort(self) -> None:
        self._enter("abort")
        super().abort()
        self.aborted.set()

    def close(self) -> None:
        self._enter("close")
        super().close()


@pytest.fixture
def device(clock: ManualClock) -> Iterator[Device]:
    device = Device(clock)
    yield device
    for gate in device.gates.values():
        gate.set()


def act(driver: EffectorDriver, clock: ManualClock) -> Action:
    driver.begin(VALUES, clock.now_ns())
    return driver.finish()


def set_limit(driver: EffectorDriver, device: Device, secs: float) -> None:
    """Short where a call is stuck; long where it must return, on a machine under load too."""
    device._spec = driver.spec = dataclasses.replace(driver.spec, timeout_secs=secs)


def driven(device: Device, clock: ManualClock, *, is_inline: bool = False) -> EffectorDriver:
    driver = EffectorDriver(device, clock=clock, is_inline=is_inline)
    driver.open()
    return driver


def test_every_call_is_on_one_other_thread(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    assert act(driver, clock).values.tolist() == [0.5]
    driver.hold()
    driver.close()
    assert device.calls == ["open", "apply", "abort", "close"]
    assert len(device.threads) == 1
    assert threading.get_ident() not in device.threads


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


@pytest.mark.parametrize("kind", [SystemExit, PanicException])
@pytest.mark.parametrize("is_inline", [True, False])
def test_a_device_that_calls_exit_or_panics_is_a_fault_and_acts_again_after_it(
    device: Device, clock: ManualClock, is_inline: bool, kind: type[BaseException]
) -> None:
    driver = driven(device, clock, is_inline=is_inline)
    device.faults["apply"] = kind("no motor")
    with pytest.raises(SensorError, match=f"apply: {kind.__name__}: no motor"):
        act(driver, clock)
    device.faults.clear()
    clock.advance(round(BACKOFF_SECS * 1e9))
    assert act(driver, clock).values.tolist() == [0.5]
    device.faults["close"] = kind("no motor")
    with pytest.raises(SensorError, match=f"close: {kind.__name__}: no motor"):
        driver.close()


def test_with_a_manual_clock_calls_are_inline(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock, is_inline=True)
    act(driver, clock)
    driver.close()
    assert device.threads == {threading.get_ident()}


def test_a_late_apply_is_aborted_and_its_result_is_dropped(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    set_limit(driver, device, 0.01)
    device.gates["apply"] = threading.Event()
    with pytest.raises(EffectorTimeout, match=r"apply has not returned within 0\.01 s"):
        act(driver, clock)
    assert device.aborted.wait(10)
    assert driver.num_faults == 1
    clock.advance(round(2 * BACKOFF_SECS * 1e9))
    for _ in range(3):  # the call is still in progress: nothing else is started
        with pytest.raises(EffectorHeld, match="in quarantine: recording: apply has not returned"):
            act(driver, clock)
    assert device.calls.count("apply") == 1
    device.gates.pop("apply").set()
    wait_until(lambda: driver._stuck is not None and driver._stuck.has_ended)
    set_limit(driver, device, 60.0)
    assert act(driver, clock).values.tolist() == [0.5]
    assert driver.num_faults == 1
    driver.close()


def test_a_late_apply_is_judged_by_the_clock_where_calls_are_inline(
    device: Device, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driven(device, clock, is_inline=True)
    set_limit(driver, device, 0.01)
    apply = Device.apply

    def slow(self: Device, values: np.ndarray, stamp_ns: int) -> Action:
        clock.advance(20_000_000)
        return apply(self, values, stamp_ns)

    monkeypatch.setattr(Device, "apply", slow)
    with pytest.raises(EffectorTimeout):
        act(driver, clock)
    assert device.calls == ["open", "apply", "abort"]


@pytest.mark.parametrize("fault", [SensorError("recording: jammed"), OSError("gone")])
def test_a_fault_is_a_quarantine_that_doubles(device: Device, clock: ManualClock, fault: Exception) -> None:
    driver = driven(device, clock)
    device.faults["apply"] = fault
    pause_ns = round(BACKOFF_SECS * 1e9)
    for num_faults in (1, 2):
        with pytest.raises(SensorError, match=str(fault)):
            act(driver, clock)
        assert driver.num_faults == num_faults
        assert device.calls[-1] == "abort"
        clock.advance(pause_ns - 1)
        with pytest.raises(EffectorHeld):
            act(driver, clock)
        clock.advance(1)
        pause_ns *= 2
    device.faults.clear()
    assert not act(driver, clock).is_held
    driver.close()


def test_an_apply_in_progress_at_a_stop_is_aborted_again(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    gate = device.gates["apply"] = threading.Event()
    driver.begin(VALUES, clock.now_ns())
    wait_until(lambda: device.calls[-1] == "apply")
    assert driver.stop().wait(60.0)
    gate.set()
    with pytest.raises(EffectorHeld, match="stopped"):
        driver.finish()
    assert device.calls == ["open", "apply", "abort", "abort"]
    assert device.apply(VALUES, 0).is_held
    driver.hold()
    driver.release()
    assert not act(driver, clock).is_held
    driver.close()


def test_an_apply_that_returns_late_is_aborted_again(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    set_limit(driver, device, 0.01)
    gate = device.gates["apply"] = threading.Event()
    with pytest.raises(EffectorTimeout):
        act(driver, clock)
    assert device.aborted.wait(10)
    gate.set()
    wait_until(lambda: not driver._is_stuck())
    assert device.calls == ["open", "apply", "abort", "abort"]
    driver.close()


def test_an_apply_that_begins_late_is_not_done(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    driver.begin(VALUES, clock.now_ns())
    driver.finish()
    gate = threading.Event()
    driver._start(gate.wait)
    driver.begin(VALUES, clock.now_ns())
    set_limit(driver, device, 0.01)
    with pytest.raises(EffectorTimeout):
        driver.finish()
    assert device.aborted.wait(10)
    gate.set()
    wait_until(lambda: not driver._is_stuck())
    assert device.calls == ["open", "apply", "abort"]
    driver.close()


def test_an_open_that_returns_after_the_close_is_aborted(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    driver.hold()
    set_limit(driver, device, 0.01)
    gate = device.gates["open"] = threading.Event()
    with pytest.raises(EffectorHeld, match="opening"):
        act(driver, clock)
    driver.close()
    gate.set()
    wait_until(lambda: device.calls == ["open", "abort", "open", "close", "abort"])


def test_an_effector_that_opens_slowly_is_held_meanwhile(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    driver.hold()
    set_limit(driver, device, 0.01)
    device.gates["open"] = threading.Event()
    for _ in range(2):
        with pytest.raises(EffectorHeld, match="opening"):
            act(driver, clock)
    assert driver.num_faults == 0
    clock.advance(11_000_000_000)
    with pytest.raises(EffectorTimeout, match="open has not returned within 10 s"):
        act(driver, clock)
    assert driver.num_faults == 1
    device.gates["open"].set()
    driver.close()


def test_an_effector_held_while_it_opens_is_aborted_once_open(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    driver.hold()
    gate = device.gates["open"] = threading.Event()
    set_limit(driver, device, 0.01)
    with pytest.raises(EffectorHeld):
        act(driver, clock)
    set_limit(driver, device, 60.0)
    driver.hold()
    assert device.calls == ["open", "abort", "open"]
    gate.set()
    wait_until(lambda: driver._opening is not None and driver._opening.has_ended)
    driver.hold()
    assert device.calls == ["open", "abort", "open", "abort"]
    driver.close()


def test_an_abort_that_fails_is_a_fault(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    device.faults["abort"] = OSError("no brake")
    driver.hold()
    assert driver.num_faults == 1
    with pytest.raises(EffectorHeld, match="abort failed: no brake"):
        act(driver, clock)
    driver.close()


@pytest.mark.parametrize("is_inline", [False, True])
def test_an_abort_that_failed_is_tried_again_until_one_succeeds(
    device: Device, clock: ManualClock, is_inline: bool
) -> None:
    driver = driven(device, clock, is_inline=is_inline)
    device.faults["abort"] = OSError("no brake")
    pause_ns = round(BACKOFF_SECS * 1e9)
    for num_faults in (1, 2):
        assert driver.hold() == "recording: abort failed: no brake"
        assert (driver.num_faults, driver.owes_abort) == (num_faults, True)
        clock.advance(pause_ns - 1)
        assert driver.hold() == ""
        assert device.calls.count("abort") == num_faults
        clock.advance(1)
        pause_ns *= 2
    del device.faults["abort"]
    for _ in range(2):
        assert driver.hold() == ""
        assert (driver.num_faults, driver.owes_abort) == (2, False)
        assert device.calls.count("abort") == 3
    assert not act(driver, clock).is_held
    driver.close()


def test_after_a_failed_abort_it_acts_only_when_one_has_succeeded(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock, is_inline=True)
    device.faults["abort"] = OSError("no brake")
    driver.hold()
    clock.advance(round(BACKOFF_SECS * 1e9))
    with pytest.raises(SensorError, match="no brake"):
        act(driver, clock)
    assert "apply" not in device.calls
    del device.faults["abort"]
    clock.advance(round(2 * BACKOFF_SECS * 1e9))
    device.calls.clear()
    assert not act(driver, clock).is_held
    assert device.calls == ["open", "abort", "open", "apply"]
    driver.close()


def test_a_fault_whose_abort_fails_is_one_fault_and_the_abort_is_tried_again(
    device: Device, clock: ManualClock
) -> None:
    driver = driven(device, clock)
    device.faults = {"apply": OSError("jammed"), "abort": OSError("no brake")}
    with pytest.raises(SensorError, match="jammed; recording: abort failed: no brake"):
        act(driver, clock)
    assert driver.num_faults == 1
    device.faults.clear()
    clock.advance(round(BACKOFF_SECS * 1e9))
    assert driver.hold() == ""
    assert device.calls[-1] == "abort"
    assert not driver.owes_abort
    driver.close()


def test_an_abort_that_fails_beside_a_call_is_tried_again_beside_it(
    device: Device, clock: ManualClock
) -> None:
    driver = driven(device, clock)
    set_limit(driver, device, 0.01)
    device.gates["apply"] = threading.Event()
    device.faults["abort"] = OSError("no brake")
    with pytest.raises(EffectorTimeout):
        act(driver, clock)
    clock.advance(round(BACKOFF_SECS * 1e9))
    wait_until(lambda: "abort" in device.calls)
    del device.faults["abort"]
    set_limit(driver, device, 60.0)
    with pytest.raises(EffectorHeld, match="in quarantine"):
        act(driver, clock)
    assert device.aborted.is_set()
    assert not driver.owes_abort
    device.gates["apply"].set()
    driver.close()


def test_closing_tries_a_failed_abort_once_more(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    device.faults["abort"] = OSError("no brake")
    driver.hold()
    driver.close()
    assert device.calls == ["open", "abort", "abort", "close"]
    assert driver.owes_abort


def test_a_failing_open_at_the_start_is_raised(device: Device, clock: ManualClock) -> None:
    device.faults["open"] = ValueError("no such arm")
    driver = EffectorDriver(device, clock=clock, is_inline=False)
    with pytest.raises(SensorError, match="recording: open: ValueError: no such arm"):
        driver.open()
    driver.close()


def test_a_stuck_effector_is_closed_beside_its_call(device: Device, clock: ManualClock) -> None:
    driver = driven(device, clock)
    set_limit(driver, device, 0.01)
    device.gates["apply"] = threading.Event()
    with pytest.raises(EffectorTimeout):
        act(driver, clock)
    driver.close()
    assert "close" in device.calls


@pytest.mark.parametrize("returned", [None, VALUES, "wrong spec", "not finite"])
def test_what_is_no_action_is_a_fault(
    device: Device, clock: ManualClock, returned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driven(device, clock)
    if returned == "wrong spec":
        other = RecordingEffector(RecordingConfig(name="other"), SensorContext(clock=clock, epoch_ns=0))
        returned = Action(spec=other.spec, values=VALUES, stamp_ns=0)
    elif returned == "not finite":
        returned = Action(spec=device.spec, values=np.full(1, np.nan, np.float32), stamp_ns=0)
    monkeypatch.setattr(Device, "apply", lambda *_: returned)
    with pytest.raises(SensorError, match="recording: apply returned"):
        act(driver, clock)
    driver.close()


def wait_until(is_met: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(10_000):
        if is_met():
            return
        pause.wait(0.001)
    raise AssertionError("it never happened")
