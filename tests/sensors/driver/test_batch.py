"""A batch of records beside records that are made and pushed one by one."""

from __future__ import annotations

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.mailbox.clock import ManualClock
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.record import MAX_SAMPLE, SUMMARY, summarize
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorContext
from sage.sensors.devices.fault_schedule import FaultConfig
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.driver.batch import CAPACITY, ReadingBatch
from sage.sensors.driver.sensor_driver import SensorDriver

pytestmark = pytest.mark.skipif(not has_compiler(), reason="numba is not installed")

EXACT = (
    *("sequence", "producer", "kind", "stamp_ns", "length", "generation", "trust", "quality"),
    *("confidence", "noise_std", "min", "max", "flags"),
)
ROUNDED = ("mean", "std", "projection")


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    for name in EXACT:
        np.testing.assert_array_equal(found[name], expected[name], name)
    for name in ROUNDED:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-3, atol=1e-4, err_msg=name)


def test_records_of_a_batch_are_those_of_summarize() -> None:
    """More records than the batch holds, of several sizes and types, some beyond the range of float16."""
    rng, ring = np.random.default_rng(2), PeripheralMailbox("ring", clock=ManualClock(), capacity=1024)
    types = ("float32", "float64", "int16", "uint8")
    specs = [
        TensorSpec(shape=(int(size),), dtype=types[number % 4])
        for number, size in enumerate(rng.integers(1, MAX_SAMPLE + 1, CAPACITY + 20))
    ]
    batch, subscription = ReadingBatch(ring, specs), ring.subscribe()
    expected, arrays = np.zeros(len(specs), dtype=SUMMARY), []
    for number, spec in enumerate(specs):
        array = rng.normal(3, 2, spec.shape) * (1e7 if number % 7 == 0 else 1.0)
        array = array.astype(spec.dtype)
        arrays.append(array)
        assert batch.holds(number)
        reading = Reading(
            captured_ns=number, received_ns=number, sequence=number, quality=0.5, confidence=0.25
        )
        assert batch.add(array, reading, number, number + 1, 0.75)
        summarize(
            expected[number : number + 1],
            array,
            producer=number,
            sequence=number + 1,
            stamp_ns=number,
            trust=0.75,
            quality=0.5,
            confidence=0.25,
        )
    batch.flush()
    batch.flush()  # nothing is left
    found = subscription.pop_many(1024).records.view(SUMMARY)
    expected["generation"] = 1  # of the ring's first lap
    assert len(found) == len(expected)
    assert expected["flags"].any()
    assert_same(found, expected)
    assert batch.is_new.all()
    assert batch.sequence.tolist() == list(range(1, len(specs) + 1))
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(batch.array(number), array)
        assert batch.array(number).dtype == array.dtype
    batch.forget()
    assert not batch.is_new.any()


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 0.0], [1e35, 1.0]])
def test_a_batch_refuses_what_is_large_or_may_not_be_finite(values: list[float]) -> None:
    batch = ReadingBatch(PeripheralMailbox("ring", clock=ManualClock()), [TensorSpec(shape=(22,))])
    reading = Reading(captured_ns=1, received_ns=1, sequence=0)
    for given in (values, [*values, *[0.0] * 20]):
        assert not batch.add(np.array(given), reading, 0, 0, 1.0)
    batch.flush()
    assert not batch.is_new.any()


def test_a_batch_holds_small_readings_that_float64_has_exactly() -> None:
    kinds = [((3,), "float32"), ((257,), "float32"), ((0,), "float32"), ((2, 4), "int64"), ((256,), "bool")]
    specs = [TensorSpec(shape=shape, dtype=dtype) for shape, dtype in kinds]
    batch = ReadingBatch(PeripheralMailbox("ring", clock=ManualClock()), specs)
    assert [batch.holds(number) for number in range(6)] == [True, False, False, False, True, False]


def test_drivers_deliver_the_same_with_and_without_a_batch() -> None:
    """A source that is unplugged, one that returns NaN, one that is disabled and enabled while it runs, one
    that is slow, one with a reading too large for a batch, and one with values too large for its kernel.
    """
    faults = {
        0: (FaultConfig(fault="raise", at_secs=1.0, for_secs=1.0),),
        1: (FaultConfig(fault="nan", at_secs=1.0, for_secs=1.0, size=1),),
        5: (FaultConfig(fault="bias", at_secs=1.0, for_secs=1.0, size=3e34),),
    }
    shapes, rates = ((3,), (2, 2), (1,), (5,), (400,), (2,)), (20, 20, 20, 3, 20, 20)
    found, statistics = [], []
    for has_batch in (False, True):
        clock = ManualClock()
        ring = PeripheralMailbox("ring", clock=clock, capacity=1024)
        batch = ReadingBatch(ring, [TensorSpec(shape=shape) for shape in shapes])
        subscription = ring.subscribe()
        drivers = []
        for index, (shape, rate) in enumerate(zip(shapes, rates)):
            config = SyntheticConfig(
                name=f"s{index}", shape=shape, rate_hz=rate, seed=index, faults=faults.get(index, ())
            )
            context = SensorContext(clock=clock, epoch_ns=0)
            drivers.append(
                SensorDriver(
                    lambda config=config, context=context: SyntheticSensor(config, context),
                    config=config,
                    peripheral=ring,
                    focus=FocusMailbox(f"s{index}", clock=clock, slots=4, slot_bytes=1600),
                    clock=clock,
                    producer=index,
                )
            )
        for driver in drivers:
            if has_batch:
                assert driver.batch_readings(batch) == (driver.spec.name != "s4")
            driver.start()
        for tick in range(100):
            if tick == 30:
                drivers[2].disable()
            if tick == 60:
                drivers[2].enable()
            for driver in drivers:
                driver.poll(clock.now_ns())
            batch.flush()
            clock.advance(50_000_000)
        records = subscription.pop_many(1024).records.view(SUMMARY)
        # Readings that are not batched are pushed before those that are: order them as each source's own.
        found.append(records[np.argsort(records["producer"], kind="stable")])
        statistics.append([driver.statistics() for driver in drivers])
        for driver in drivers:
            driver.close()
    assert statistics[0] == statistics[1]
    assert [each.num_faults > 0 for each in statistics[0]] == [True, True, False, False, False, False]
    assert len(found[0]) == len(found[1]) > 200
    assert_same(found[1], found[0])
