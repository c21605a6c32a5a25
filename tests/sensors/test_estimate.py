"""The estimate of a group as a source: one estimate is one reading, and without a new one there is none."""

from __future__ import annotations

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Sensor, SensorError, SensorSpec
from sage.sensors.estimate import Estimate, EstimateSensor, EstimateSlot
from sage.sensors.testing.conformance import check_sensor

PERIOD_NS = 50_000_000
SPEC = SensorSpec(
    name="position",
    modality="temporal",
    tensor=TensorSpec(shape=(2,)),
    period_ns=PERIOD_NS,
    observes=("fused position", "m"),
    lineage=("gps", "beacon"),
    is_bounded=True,
)


def estimate(at_ns: int, value: float = 1.0) -> Estimate:
    return Estimate(values=np.array([value, -value]), noise_std=0.1, confidence=0.8, captured_ns=at_ns)


def test_an_estimate_is_read_once() -> None:
    clock, slot = ManualClock(1_000), EstimateSlot()
    sensor = EstimateSensor(SPEC, slot, clock)
    assert isinstance(sensor, Sensor)
    sensor.open()
    out = np.zeros(2, np.float32)
    assert sensor.read_into(out) is None
    slot.put(estimate(900, 3.0))
    reading = sensor.read_into(out)
    assert reading is not None
    assert out.tolist() == [3.0, -3.0]
    assert (reading.captured_ns, reading.received_ns, reading.sequence) == (900, 1_000, 0)
    assert (reading.noise_std, reading.confidence) == (0.1, 0.8)
    assert sensor.read_into(out) is None


def test_an_estimate_from_before_it_was_opened_is_not_read() -> None:
    slot = EstimateSlot()
    slot.put(estimate(900))
    sensor = EstimateSensor(SPEC, slot, ManualClock(1_000))
    sensor.open()
    assert sensor.read_into(np.zeros(2, np.float32)) is None


def test_reading_before_open_raises() -> None:
    sensor = EstimateSensor(SPEC, EstimateSlot(), ManualClock())
    sensor.close()
    with pytest.raises(SensorError, match="before open"):
        sensor.read_into(np.zeros(2, np.float32))


class FilledEachPeriod(EstimateSlot):
    """A slot that gets an estimate every 50 ms, as from the loop."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    @property
    def num(self) -> int:
        return self._clock.now_ns() // PERIOD_NS

    @property
    def newest(self) -> Estimate:
        return estimate(self.num * PERIOD_NS, float(self.num))


def test_it_passes_the_conformance_suite() -> None:
    clock = ManualClock(PERIOD_NS)
    results = check_sensor(lambda: EstimateSensor(SPEC, FilledEachPeriod(clock), clock), clock=clock)
    assert len(results) > 10
    assert [f"{result.name}: {result.detail}" for result in results if not result.is_ok] == []
