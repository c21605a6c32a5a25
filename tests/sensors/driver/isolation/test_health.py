"""The health and the calibration of an isolated sensor reach the loop and the state directory."""

from __future__ import annotations

import json
import os
import tty
from pathlib import Path

import pytest

from sage.mailbox import Hub, PeripheralMailbox, RealClock
from sage.sensors.contract import SensorContext
from sage.sensors.devices.imu import ImuConfig, ImuSensor
from sage.sensors.driver.isolation.engine import Isolation
from sage.sensors.driver.isolation.plan import target_of
from sage.sensors.driver.isolation.status import FAILED, SensorStatus
from sage.sensors.driver.sensor_driver import DriverStatistics, SensorDriver

pytest.importorskip("serial", reason="the IMU needs the package pyserial")
MAX_POLLS = 20_000


def test_a_text_of_health_is_read_as_it_was_written() -> None:
    block = SensorStatus.create(f"health-{os.getpid()}")
    other = SensorStatus.attach(block.name)
    try:
        assert other.health == ""
        for text in ("lens covered", "", "é" * 200, "dust"):
            block.health = text
            assert text.startswith(other.health)
            assert len(other.health) >= min(len(text), 60)
        block.fail("no device", FAILED)
        assert (other.health, other.error, other.state) == ("dust", "no device", FAILED)
    finally:
        other.close()
        block.unlink()


def test_both_pass_through_the_process(tmp_path: Path) -> None:
    device, terminal = os.openpty()
    tty.setraw(device)
    clock = RealClock()
    config = ImuConfig(name="imu", port=os.ttyname(terminal), isolate=True, rest_secs=0.02)
    context = SensorContext(clock=clock, epoch_ns=clock.now_ns())
    with Hub(clock) as hub:
        focus = hub.shared_focus("imu", slots=4, slot_bytes=24, engine="plain")
        isolation = Isolation(
            target=target_of(ImuSensor),
            config=config,
            context=lambda: context,
            records=hub.shared_peripheral("imu.records", capacity=256, engine="plain"),
            focus=focus,
            calibrations=str(tmp_path / "calibration"),
        )
        records = PeripheralMailbox("records", clock=clock, capacity=256)
        driver = SensorDriver(
            lambda: ImuSensor(config, context),
            config=config,
            peripheral=records,
            focus=focus,
            clock=clock,
            producer=0,
            isolation=isolation,
        )

        def poll_until_health(text: str) -> DriverStatistics:
            """A good line at each poll, 5 ms apart on the loop's clock."""
            for _ in range(MAX_POLLS):
                os.write(device, b"0,0,9.75,0.25,0,0\n")
                clock.wait_until(clock.now_ns() + 5_000_000)
                driver.poll(clock.now_ns())
                seen = driver.statistics()
                if seen.num_readings and text in seen.health and bool(seen.health) == bool(text):
                    return seen
            raise AssertionError(driver.statistics())

        driver.start()
        poll_until_health("")
        os.write(device, b"damaged\n")
        damaged = poll_until_health("some of the last")
        assert damaged.quality < 1
        assert damaged.num_faults == 0
        driver.close()
    os.close(terminal)
    os.close(device)
    kept = json.loads((tmp_path / "calibration" / "imu.json").read_text())["values"]
    assert kept == {"gyroscope_offset": [0.25, 0.0, 0.0]}
