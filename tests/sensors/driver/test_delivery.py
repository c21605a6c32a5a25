"""Which readings are published, and which are not."""

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
