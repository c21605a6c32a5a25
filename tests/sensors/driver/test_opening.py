"""A device that does not open: a wrong configuration is raised, a device's fault is quarantined."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sage.errors import DataError, InputError
from sage.mailbox import Hub, PeripheralMailbox, RealClock
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices.scripted import ScriptedSensor
from sage.sensors.driver.isolation.engine import Isolation
from sage.sensors.driver.isolation.plan import target_of
from sage.sensors.driver.sensor_driver import SensorDriver

#: A module that a process can import. `what` says what happens at open.
MODULE = """
import ctypes
import os
import sys
from typing import Literal

import numpy as np

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorSpec, SensorUnavailable


class FailingConfig(SensorConfig):
    kind: Literal["failing"] = "failing"
    what: str = ""


class FailingSensor:
    Config = FailingConfig

    def __init__(self, config, context):
        self._what = config.what
        self.spec = SensorSpec(
            name="failing",
            modality="physical",
            tensor=TensorSpec(shape=(1,)),
            period_ns=100_000_000,
            observes=("nothing", "1"),
        )

    def open(self):
        sys.stderr.write("vendor: firmware 1.2\\n\\x1b[31mvendor: bad port 7\\x1b[0m\\n")
        sys.stderr.flush()
        if self._what == "input":
            raise InputError("port is 7: give 1 to 4")
        if self._what == "unavailable":
            raise SensorUnavailable("failing: not plugged in")
        if self._what == "crash":
            os.abort()
        if self._what == "flood":
            os.write(2, b"x" * 1_000_000 + b"\\nthe last line\\n")
            raise SensorUnavailable("failing: not plugged in")

    def read_into(self, out):
        return None

    def close(self):
        pass
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "failing_device.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    import failing_device

    yield failing_device.FailingSensor
    sys.modules.pop("failing_device")


@pytest.fixture
def isolated(failing: Any) -> Iterator[Callable[[str], SensorDriver]]:
    """Starts a driver of a failing sensor in a process of its own."""
    drivers: list[SensorDriver] = []
    with Hub(RealClock()) as hub:

        def make(what: str) -> SensorDriver:
            clock = RealClock()
            config = failing.Config(what=what, isolate=True, backoff_secs=100.0, max_backoff_secs=100.0)
            context = SensorContext(clock=clock, epoch_ns=clock.now_ns())
            focus = hub.shared_focus("failing", slots=4, slot_bytes=4, engine="plain")
            isolation = Isolation(
                target=target_of(failing),
                config=config,
                context=lambda: context,
                records=hub.shared_peripheral("failing.records", capacity=16, engine="plain"),
                focus=focus,
            )
            driver = SensorDriver(
                lambda: failing(config, context),
                config=config,
                peripheral=PeripheralMailbox("records", clock=clock, capacity=16),
                focus=focus,
                clock=clock,
                producer=0,
                isolation=isolation,
            )
            driver.start()
            drivers.append(driver)
            return driver

        yield make
        for driver in drivers:
            driver.close()


def poll_until_it_fails(driver: SensorDriver) -> str:
    """The last error of the driver, which is in quarantine; what `poll` raises is raised."""
    pause = threading.Event()
    for _ in range(20_000):
        driver.poll(RealClock().now_ns())
        if driver.statistics().status == "quarantined":
            return driver.statistics().last_error
        pause.wait(0.003)
    raise AssertionError(driver.statistics())


class NotOpening(ScriptedSensor):
    """Raises `error` at each open until it is set to None."""

    def __init__(self, error: list[Exception | None], *, is_bounded: bool) -> None:
        super().__init__([], is_bounded=is_bounded)
        self._error = error

    def open(self) -> None:
        super().open()
        if self._error[0] is not None:
            raise self._error[0]


@pytest.mark.parametrize("error", [InputError("port is 7: give 1 to 4"), DataError("calibration: damaged")])
def test_a_wrong_configuration_is_raised_on_the_loops_thread(
    new_rig: Callable[..., Any], error: Exception
) -> None:
    with pytest.raises(InputError, match=f"scripted: {error}"):
        new_rig(lambda: NotOpening([error], is_bounded=True))


def test_a_wrong_configuration_is_raised_from_a_thread(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    rig = new_rig(lambda: NotOpening([InputError("port is 7: give 1 to 4")], is_bounded=False))
    with pytest.raises(InputError, match="scripted: port is 7"):
        poll_until_it_fails(rig.driver)
    assert rig.driver.statistics().status == "closed"


def test_a_wrong_configuration_is_raised_from_a_process(isolated: Callable[[str], SensorDriver]) -> None:
    driver = isolated("input")
    with pytest.raises(InputError, match="failing: port is 7: give 1 to 4"):
        poll_until_it_fails(driver)


@pytest.mark.parametrize("is_bounded", [True, False])
@pytest.mark.parametrize("error", [SensorUnavailable("not plugged in"), ZeroDivisionError("a defect")])
def test_a_devices_fault_is_quarantined(
    new_rig: Callable[..., Any], error: Exception, is_bounded: bool
) -> None:
    rig = new_rig(lambda: NotOpening([error], is_bounded=is_bounded))
    assert str(error) in poll_until_it_fails(rig.driver)
    rig.driver.close()


def test_after_it_has_run_a_configuration_error_is_a_fault(new_rig: Callable[..., Any]) -> None:
    error: list[Exception | None] = [None]

    class Unplugged(NotOpening):
        def read_into(self, out: Any) -> None:
            error[0] = InputError("port is 7")
            raise SensorError("unplugged")

    rig = new_rig(lambda: Unplugged(error, is_bounded=True))
    rig.tick(2.0)
    statistics = rig.driver.statistics()
    assert statistics.num_faults >= 2
    assert statistics.last_error == "port is 7"


def test_a_process_that_does_not_find_its_device_is_quarantined_with_its_output(
    isolated: Callable[[str], SensorDriver],
) -> None:
    assert poll_until_it_fails(isolated("unavailable")) == (
        "failing: not plugged in; stderr: vendor: firmware 1.2 | vendor: bad port 7"
    )


def test_a_process_that_crashes_at_open_is_quarantined_with_its_output(
    isolated: Callable[[str], SensorDriver],
) -> None:
    error = poll_until_it_fails(isolated("crash"))
    assert "SIGABRT" in error
    assert "vendor: bad port 7" in error


def test_output_is_read_to_its_end_and_bounded(isolated: Callable[[str], SensorDriver]) -> None:
    error = poll_until_it_fails(isolated("flood"))
    assert error.endswith(" | the last line")
    assert len(error) < 500
