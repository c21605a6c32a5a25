"""Memory is a source: one answer, one reading, stamped with the time of its query."""

from __future__ import annotations

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.memory.sensor import DEFAULT_SIZE, MemoryConfig, MemorySensor, Recalls
from sage.memory.stores.recall import Recalled, RecallStore
from sage.sensors.contract import Sensor, SensorContext, SensorError, SensorUnavailable
from sage.sensors.testing.conformance import check_sensor

EPOCH_NS = 77_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(EPOCH_NS + 1_000)


@pytest.fixture
def memory() -> RecallStore:
    store = RecallStore(4, 3, 2)
    store.write(np.array([1.0, 0, 0]), np.array([5.0, 7.0]), salience=0.5, trust=0.5, time_ns=0, context=0)
    return store


@pytest.fixture
def sensor(clock: ManualClock, memory: RecallStore) -> MemorySensor:
    config = MemoryConfig(lineage=("camera", "host"))
    sensor = MemorySensor(config, SensorContext(clock=clock, epoch_ns=EPOCH_NS, memory=memory))
    sensor.open()
    return sensor


def test_its_spec_is_known_before_it_opens(clock: ManualClock, memory: RecallStore) -> None:
    spec = MemorySensor(
        MemoryConfig(lineage=("camera",)), SensorContext(clock=clock, epoch_ns=0, memory=memory)
    ).spec
    assert (spec.name, spec.modality, spec.tensor.shape, spec.is_bounded) == (
        "memory",
        "temporal",
        (2,),
        True,
    )
    assert spec.lineage == ("camera",)


def test_it_is_a_sensor_and_a_store_is_what_it_reads(sensor: MemorySensor, memory: RecallStore) -> None:
    assert isinstance(sensor, Sensor)
    assert isinstance(memory, Recalls)


def test_an_answer_is_read_once(sensor: MemorySensor, memory: RecallStore, clock: ManualClock) -> None:
    out = np.zeros(2, np.float32)
    assert sensor.read_into(out) is None
    memory.recall(np.array([2.0, 0, 0]), time_ns=900)
    reading = sensor.read_into(out)
    assert reading is not None
    assert out.tolist() == [5.0, 7.0]
    assert (reading.captured_ns, reading.received_ns, reading.sequence) == (
        EPOCH_NS + 900,
        EPOCH_NS + 1_000,
        0,
    )
    assert reading.confidence == pytest.approx(0.5)
    assert sensor.read_into(out) is None
    memory.recall(np.array([2.0, 0, 0]), time_ns=950)
    again = sensor.read_into(out)
    assert again is not None
    assert again.sequence == 1


def test_an_answer_that_found_nothing_is_no_reading(clock: ManualClock) -> None:
    memory = RecallStore(4, 3, 2)
    sensor = MemorySensor(MemoryConfig(), SensorContext(clock=clock, epoch_ns=0, memory=memory))
    sensor.open()
    memory.recall(np.ones(3), time_ns=900)
    out = np.full(2, -1.0, np.float32)
    assert sensor.read_into(out) is None
    assert out.tolist() == [-1.0, -1.0]


def test_open_raises_in_a_run_without_memory(clock: ManualClock) -> None:
    sensor = MemorySensor(MemoryConfig(), SensorContext(clock=clock, epoch_ns=0))
    assert sensor.spec.tensor.shape == (DEFAULT_SIZE,)
    with pytest.raises(SensorUnavailable, match="no memory"):
        sensor.open()
    sensor.close()


def test_a_size_that_the_memory_does_not_have_is_refused(clock: ManualClock, memory: RecallStore) -> None:
    with pytest.raises(ValueError, match="size"):
        MemorySensor(MemoryConfig(size=3), SensorContext(clock=clock, epoch_ns=0, memory=memory))


class AskedEachPeriod:
    """A memory that is queried every 50 ms, as the loop does."""

    value_dim = 2

    def __init__(self, store: RecallStore, clock: ManualClock) -> None:
        self._store, self._clock = store, clock
        self._due_ns = 0

    @property
    def last_recalled(self) -> Recalled | None:
        if self._clock.now_ns() < self._due_ns:
            return self._store.last_recalled
        self._due_ns = self._clock.now_ns() + 50_000_000
        return self._store.recall(np.ones(3), time_ns=self._clock.now_ns() - EPOCH_NS)


def test_it_passes_the_conformance_suite(clock: ManualClock, memory: RecallStore) -> None:
    context = SensorContext(clock=clock, epoch_ns=EPOCH_NS, memory=AskedEachPeriod(memory, clock))
    results = check_sensor(lambda: MemorySensor(MemoryConfig(), context), clock=clock)
    assert [f"{result.name}: {result.detail}" for result in results if not result.is_ok] == []


def test_reading_before_open_raises(sensor: MemorySensor) -> None:
    sensor.close()
    sensor.close()
    with pytest.raises(SensorError, match="before open"):
        sensor.read_into(np.zeros(2, np.float32))
