import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.devices.clock import ClockConfig, ClockSensor


def test_phases_turn_with_their_cycles(clock: ManualClock, context: SensorContext) -> None:
    sensor = ClockSensor(ClockConfig(cycles_secs=(4.0, 8.0), period_secs=1.0), context)
    out = np.zeros(4, dtype=np.float32)
    sensor.open()
    clock.advance(1_000_000_000)
    reading = sensor.read_into(out)
    assert reading is not None
    assert reading.captured_ns == clock.now_ns()
    np.testing.assert_allclose(out, [1.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)], atol=1e-6)
    assert sensor.spec.channels == ("sin_4s", "cos_4s", "sin_8s", "cos_8s")


def test_the_offset_is_the_time_at_the_epoch(context: SensorContext) -> None:
    sensor = ClockSensor(ClockConfig(cycles_secs=(86400.0,), offset_secs=21600.0), context)
    out = np.zeros(2, dtype=np.float32)
    sensor.open()
    sensor.read_into(out)
    np.testing.assert_allclose(out, [1.0, 0.0], atol=1e-6)


def test_a_late_caller_gets_the_newest_grid_point_once(clock: ManualClock, context: SensorContext) -> None:
    sensor = ClockSensor(ClockConfig(period_secs=0.1), context)
    out = np.zeros(10, dtype=np.float32)
    sensor.open()
    first = sensor.read_into(out)
    clock.advance(570_000_000)
    second = sensor.read_into(out)
    assert first is not None
    assert second is not None
    assert second.captured_ns - first.captured_ns == 500_000_000
    assert second.sequence == first.sequence + 1
    assert sensor.read_into(out) is None


def test_reading_a_closed_clock_raises(context: SensorContext) -> None:
    sensor = ClockSensor(ClockConfig(), context)
    with pytest.raises(SensorError, match="open"):
        sensor.read_into(np.zeros(10, dtype=np.float32))
