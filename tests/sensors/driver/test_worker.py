"""Devices on threads that raise and hang while the loop continues."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Reading
from sage.sensors.devices.scripted import ScriptedSensor, reading_at
from sage.sensors.devices.synthetic import SyntheticSensor

WAIT_SECS = 20.0


class StuckSensor(ScriptedSensor):
    """Reads block until `released`, also after close."""

    def __init__(self, released: threading.Event, entered: threading.Semaphore) -> None:
        super().__init__([], is_bounded=False)
        self.released = released
        self.entered = entered

    def read_into(self, out: np.ndarray) -> Reading | None:
        self.entered.release()
        self.released.wait()
        out[:] = 1.0
        return None


def test_a_source_on_a_thread_delivers(synthetic: Callable[..., Any]) -> None:
    rig = synthetic(driver="thread")
    assert not rig.driver.is_inline
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 0
    rig.clock.advance(100_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 1
    rig.driver.close()
    rig.driver.close()
    assert rig.driver.statistics().status == "closed"


def test_an_error_on_a_thread_is_shown(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    made: list[ScriptedSensor] = []
    closed = threading.Event()

    class Failing(ScriptedSensor):
        def close(self) -> None:
            closed.set()

    def make() -> ScriptedSensor:
        made.append(Failing([ZeroDivisionError("in the driver's own code")], is_bounded=False))
        return made[-1]

    rig = new_rig(make)
    assert closed.wait(WAIT_SECS)
    rig.driver.poll(clock.now_ns())
    assert rig.driver.statistics().status == "quarantined"
    assert "ZeroDivisionError: in the driver's own code" in rig.driver.statistics().last_error


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


@pytest.mark.parametrize("kind", [SystemExit, PanicException])
@pytest.mark.parametrize("is_bounded", [True, False])
def test_a_device_that_calls_exit_or_panics_is_a_fault_and_ends_nothing(
    new_rig: Callable[..., Any], clock: ManualClock, is_bounded: bool, kind: type[BaseException]
) -> None:
    closed = threading.Event()

    class Leaving(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            raise kind("no device")

        def close(self) -> None:
            closed.set()

    rig = new_rig(lambda: Leaving([], is_bounded=is_bounded))
    rig.driver.poll(clock.now_ns())
    assert closed.wait(WAIT_SECS)
    rig.driver.poll(clock.now_ns())
    assert rig.driver.statistics().status == "quarantined"
    assert f"{kind.__name__}: no device" in rig.driver.statistics().last_error


def test_a_source_that_hangs_is_quarantined_by_the_clock_and_restarted(
    synthetic: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    write = SyntheticSensor._write

    def noticed(self: SyntheticSensor, out: np.ndarray, at_ns: int, fault: Any) -> None:
        if fault is not None:
            hangs.set()
        write(self, out, at_ns, fault)

    monkeypatch.setattr(SyntheticSensor, "_write", noticed)
    rig = synthetic("hang", hang_secs=1.0)
    rig.clock.advance(1_000_000_000)
    rig.driver.poll(rig.clock.now_ns())
    assert hangs.wait(WAIT_SECS)
    rig.driver.poll(rig.clock.now_ns())
    assert rig.driver.statistics().status == "running"
    rig.clock.advance(1_100_000_000)
    rig.driver.poll(rig.clock.now_ns())
    statistics = rig.driver.statistics()
    assert statistics.status == "quarantined"
    assert "has not returned" in statistics.last_error
    while rig.driver.read_next() is not None:
        pass
    rig.clock.advance(600_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_block(WAIT_SECS) as lease:
        assert lease.meta.sequence == 10
    rig.driver.poll(rig.clock.now_ns())
    assert rig.driver.statistics().status == "running"
    rig.driver.close()


def test_a_device_that_can_not_be_freed_takes_two_threads_and_no_more(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    released, entered = threading.Event(), threading.Semaphore(0)
    made: list[StuckSensor] = []

    def make() -> StuckSensor:
        made.append(StuckSensor(released, entered))
        return made[-1]

    rig = new_rig(make, hang_secs=1.0, max_backoff_secs=1.0, num_slots=4)
    for _ in range(2):
        assert entered.acquire(timeout=WAIT_SECS)
        rig.driver.poll(clock.now_ns())
        clock.advance(1_100_000_000)
        rig.driver.poll(clock.now_ns())
        assert rig.driver.statistics().status == "quarantined"
        clock.advance(1_100_000_000)
        rig.driver.poll(clock.now_ns())
    rig.tick(20.0)
    assert len(made) == 3  # one to learn the spec, and two that hang
    assert rig.driver.statistics().num_faults == 2
    assert rig.driver.statistics().status == "quarantined"
    released.set()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("sensor-scripted")]
    for thread in threads:
        thread.join(WAIT_SECS)
    rig.tick(2.0)
    assert len(made) == 4
    rig.driver.close()


def test_a_reading_of_an_abandoned_thread_is_not_published(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    entered, released, ended = threading.Event(), threading.Event(), threading.Event()

    class LateSensor(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            entered.set()
            released.wait()
            out[:] = 1.0
            return reading_at(0, clock.now_ns())

        def close(self) -> None:
            if released.is_set():
                ended.set()

    rig = new_rig(lambda: LateSensor([], is_bounded=False), hang_secs=1.0, backoff_secs=30.0)
    assert entered.wait(WAIT_SECS)
    rig.driver.poll(clock.now_ns())
    clock.advance(1_100_000_000)
    rig.driver.poll(clock.now_ns())
    released.set()
    assert ended.wait(WAIT_SECS)
    assert rig.driver.statistics().num_readings == 0
    assert len(rig.summaries()) == 0
    rig.driver.close()
