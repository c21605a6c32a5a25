"""Which readings are published, and which are not."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.record import DEMOTED
from sage.sensors.contract import Reading
from sage.sensors.devices.scripted import ScriptedSensor, reading_at


def test_a_reading_is_published_to_both_mailboxes(synthetic: Callable[..., Any]) -> None:
    rig = synthetic()
    assert rig.driver.is_inline
    assert rig.driver.poll(rig.clock.now_ns()) == 1
    (record,) = rig.summaries()
    with rig.driver.read_block(1.0) as lease:
        assert record["mean"] == pytest.approx(lease.array.mean())
        assert (record["focus_slot"], record["focus_generation"]) == (lease.meta.slot, lease.meta.generation)
        assert record["sequence"] == lease.meta.sequence == 0
        assert record["stamp_ns"] == lease.meta.stamp_ns == rig.clock.now_ns()
        assert record["producer"] == lease.meta.producer == 3
        assert record["noise_std"] == pytest.approx(0.05)
    statistics = rig.driver.statistics()
    assert (statistics.status, statistics.num_readings, statistics.sequence) == ("running", 1, 0)
    assert statistics.noise_std == 0.05


def test_nan_is_never_published(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("nan")
    before, during = rig.tick(0.95), rig.tick(0.5)
    assert (before, during) == (list(range(10)), [])
    assert "NaN" in rig.driver.statistics().last_error
    assert rig.tick(3.0)[-1] > 10
    assert np.isfinite(rig.summaries()["mean"]).all()


def test_nan_anywhere_in_a_large_reading_is_found(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    class OneNan(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            out[:] = 0.0
            out[12_345] = np.nan
            return reading_at(0, clock.now_ns())

    rig = new_rig(lambda: OneNan([], size=50_000), num_slots=4)
    rig.tick(0.1)
    assert rig.driver.statistics().num_faults == 1
    assert rig.driver.statistics().num_readings == 0


def test_another_shape_is_a_fault(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("shape")
    rig.tick(1.2)
    assert "broadcast" in rig.driver.statistics().last_error
    assert rig.driver.statistics().status == "quarantined"
    rig.tick(2.0)
    assert rig.driver.statistics().status == "running"


def test_frozen_values_are_delivered_for_trust_to_judge(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("frozen")
    assert rig.tick(3.0) == list(range(31))
    means = rig.summaries()["mean"]
    assert np.ptp(means[10:20]) == 0.0
    assert rig.driver.statistics().num_faults == 0


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (KeyError("colour"), "KeyError"),
        (MemoryError("no room"), "MemoryError"),
        ("nothing", "return a Reading or None"),
    ],
)
def test_any_error_of_a_plug_in_is_its_own_fault(
    new_rig: Callable[..., Any], clock: ManualClock, said: Any, shown: str
) -> None:
    rig = new_rig(lambda: ScriptedSensor([said]))
    rig.tick(0.1)
    assert shown in rig.driver.statistics().last_error
    assert rig.driver.statistics().status == "quarantined"


def test_without_a_free_slot_the_summary_is_still_published(synthetic: Callable[..., Any]) -> None:
    rig = synthetic(num_slots=2)
    held = []
    for _ in range(6):
        rig.driver.poll(rig.clock.now_ns())
        lease = rig.driver.read_next()
        if lease is not None:
            held.append(lease)
        rig.clock.advance(100_000_000)
    records = rig.summaries()
    assert len(held) == 2
    assert [bool(flags & DEMOTED) for flags in records["flags"]] == [False, False, True, True, True, True]
    assert rig.driver.statistics().num_dropped == 4
    for lease in held:
        lease.release()
    assert rig.tick(0.2)


class Kept:
    """A tap that keeps what it gets."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.faults: list[str] = []

    def take(self, values: np.ndarray, reading: Reading, read_ns: int) -> None:
        self.readings.append(reading)

    def note_fault(self, message: str, at_ns: int) -> None:
        self.faults.append(message)

    def note_end(self, at_ns: int) -> None: ...


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noise_std", None),
        ("quality", None),
        ("confidence", "high"),
        ("captured_ns", 1.0),
        ("captured_ns", -(2**70)),
        ("received_ns", "now"),
        ("sequence", None),
        ("sequence", 1.0),
        ("sequence", -1),
        ("sequence", 2**64),
        ("health", None),
    ],
)
def test_a_field_of_another_type_is_a_fault_of_its_source(
    new_rig: Callable[..., Any], clock: ManualClock, field: str, value: Any
) -> None:
    good = reading_at(0, clock.now_ns())
    scripts = iter([[], [], [dataclasses.replace(good, **{field: value})]])
    tap = Kept()
    rig = new_rig(lambda: ScriptedSensor(next(scripts, [good])))
    rig.driver.close()
    rig.driver.attach_tap(tap)
    rig.driver.start()
    assert rig.tick(2.0) == [0]
    assert field in tap.faults[0]
    assert rig.driver.statistics().num_faults == 1
    assert tap.readings == [good]


def test_numbers_of_numpy_are_as_good(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    reading = Reading(
        captured_ns=np.int64(clock.now_ns()),  # type: ignore[arg-type]
        received_ns=np.int64(clock.now_ns()),  # type: ignore[arg-type]
        sequence=np.int32(0),  # type: ignore[arg-type]
        noise_std=np.float32(0.5),  # type: ignore[arg-type]
    )
    rig = new_rig(lambda: ScriptedSensor([reading]))
    assert rig.tick(0.1) == [0]
    assert rig.summaries()["noise_std"][0] == 0.5


def test_an_unforeseen_error_around_a_reading_is_a_fault_of_its_source(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    class Odd(Reading):
        @property
        def quality(self) -> float:  # type: ignore[override]
            raise KeyError("colour")

        @quality.setter
        def quality(self, value: float) -> None: ...

    odd = Odd(captured_ns=clock.now_ns(), received_ns=clock.now_ns(), sequence=0)
    rig = new_rig(lambda: ScriptedSensor([odd]))
    rig.tick(0.1)
    assert "colour" in rig.driver.statistics().last_error
