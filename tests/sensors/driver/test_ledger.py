"""Readings that are lost, late, repeated, reordered or too many are counted."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import SensorError
from sage.sensors.devices.scripted import ScriptedSensor, reading_at


def test_stale_readings_are_counted_then_the_device_is_opened_again(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("stale", for_secs=3.0, hang_secs=1.0)
    rig.tick(1.9)
    statistics = rig.driver.statistics()
    assert statistics.num_duplicate > 5
    assert statistics.num_readings == 10
    rig.tick(0.5)
    assert "stale" in rig.driver.statistics().last_error
    rig.tick(4.0)
    assert rig.driver.statistics().status == "running"
    assert rig.driver.statistics().num_readings > 20


def test_a_flood_is_limited_and_counted(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("flood", size=50, max_per_poll=64)
    rig.tick(1.05)
    during = rig.tick(0.9)
    statistics = rig.driver.statistics()
    assert len(during) <= 32 + 4 * 10  # the burst that any device may send, and four times its rate
    assert statistics.num_flooded >= 400
    assert statistics.num_dropped == 0
    rig.tick(0.2)
    flooded = rig.driver.statistics().num_flooded
    assert len(rig.tick(2.0)) == 20
    assert rig.driver.statistics().num_flooded == flooded
    assert rig.driver.statistics().num_faults == 0


def test_lost_repeated_and_reordered_readings_are_counted(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    now = clock.now_ns()
    counts = [(0, 0), (1, 10), (1, 10), (5, 20), (4, 15), (6, 5), (7, 30)]
    rig = new_rig(lambda: ScriptedSensor([reading_at(sequence, now + stamp) for sequence, stamp in counts]))
    assert rig.tick(0.1) == [0, 1, 5, 7]
    statistics = rig.driver.statistics()
    assert statistics.num_duplicate == 1
    assert statistics.num_reordered == 2
    assert statistics.num_dropped == 4  # 2, 3, 4 and 6 were never delivered in time


def test_a_late_reading_is_delivered_and_counted(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    script = [reading_at(0, clock.now_ns() - 6_000_000_000), reading_at(1, clock.now_ns())]
    rig = new_rig(lambda: ScriptedSensor(script), max_age_secs=5.0)
    assert rig.tick(0.1) == [0, 1]
    assert rig.driver.statistics().num_late == 1


def test_a_stamp_from_the_future_is_a_fault(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    rig = new_rig(lambda: ScriptedSensor([reading_at(0, clock.now_ns() + 10_000_000_000)]))
    assert rig.tick(0.1) == []
    assert "ahead of the clock" in rig.driver.statistics().last_error


@pytest.mark.parametrize("noise_std", [1e200, -1e39])
def test_a_claim_beyond_float32_is_a_fault(
    new_rig: Callable[..., Any], clock: ManualClock, noise_std: float
) -> None:
    reading = dataclasses.replace(reading_at(0, clock.now_ns()), noise_std=noise_std)
    rig = new_rig(lambda: ScriptedSensor([reading]))
    assert rig.tick(0.1) == []
    assert "or NaN" in rig.driver.statistics().last_error


@pytest.mark.parametrize("sequence", [2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_count_that_cannot_be_true_costs_one_restart(
    new_rig: Callable[..., Any], clock: ManualClock, sequence: int, is_first: bool
) -> None:
    now_ns = clock.now_ns()
    wrong = [*([] if is_first else [reading_at(0, now_ns)]), reading_at(sequence, now_ns + 1)]
    scripts = iter([[], wrong])
    good = [reading_at(number, now_ns + 2 + number) for number in range(3)]
    rig = new_rig(lambda: ScriptedSensor(next(scripts, good)))
    num_good = 3 + (not is_first)
    assert rig.tick(5.0) == list(range(num_good))
    statistics = rig.driver.statistics()
    assert (statistics.num_faults, statistics.num_dropped, statistics.status) == (1, 0, "running")


def test_devices_that_begin_with_the_largest_count_leave_numbers_for_the_next(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    now_ns, largest = clock.now_ns(), 2**62 - 1
    scripts = [
        [
            reading_at(largest, now_ns + 2 * index),
            reading_at(0, now_ns + 2 * index + 1),
            SensorError("broken"),
        ]
        for index in range(3)
    ]
    jump = [reading_at(0, now_ns + 10), reading_at(largest, now_ns + 11)]
    rest = iter([[], *scripts, jump])
    good = [reading_at(number, now_ns + 20 + number) for number in range(3)]
    rig = new_rig(lambda: ScriptedSensor(next(rest, good)), max_backoff_secs=0.1, backoff_secs=0.1)
    assert rig.tick(5.0) == [largest + number for number in range(7)]
    assert rig.driver.statistics().num_dropped == 0
