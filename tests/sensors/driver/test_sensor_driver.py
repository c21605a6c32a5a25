"""Faults: the device is quarantined, counted, shown and restarted; and three ways to read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.errors import MailboxEmpty
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorUnavailable
from sage.sensors.devices.scripted import ScriptedSensor
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor


def test_a_source_that_raises_is_quarantined_and_restarted(synthetic: Callable[..., Any]) -> None:
    rig = synthetic("raise")
    assert rig.tick(0.95) == list(range(10))
    assert rig.tick(0.5) == []
    statistics = rig.driver.statistics()
    assert statistics.status == "quarantined"
    assert "unplugged" in statistics.last_error
    after = rig.tick(2.0)
    statistics = rig.driver.statistics()
    assert statistics.status == "running"
    assert statistics.num_restarts == 1
    assert statistics.num_faults >= 2
    assert after == list(
        range(10, 10 + len(after))
    )  # the device counts from 0 again, delivered sequences do not
    assert len(after) >= 8


@pytest.mark.parametrize("driver", ["inline", "thread"])
def test_numbers_of_numpy_in_a_reading_are_those_of_python(
    new_rig: Callable[..., Any], clock: ManualClock, driver: str
) -> None:
    class Measuring(ScriptedSensor):
        def read_into(self, out: np.ndarray) -> Reading | None:
            out[...] = 1.0
            now_ns = np.int64(clock.now_ns())
            return Reading(
                captured_ns=now_ns,
                received_ns=now_ns,
                sequence=np.int64(7),
                noise_std=np.float32(0.5),
                quality=np.float32(0.5),
            )

    rig = new_rig(lambda: Measuring([], is_bounded=driver == "inline"))
    if driver == "inline":
        rig.driver.poll(clock.now_ns())
    else:
        rig.driver.read_block(20.0).release()
    state = rig.driver.statistics()
    found = (state.sequence, state.captured_ns, state.noise_std, state.quality)
    assert [type(each) for each in found] == [int, int, float, float]


def test_pauses_double_until_it_is_restarted(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    attempts: list[int] = []

    class Absent(ScriptedSensor):
        def open(self) -> None:
            attempts.append(clock.now_ns())
            raise SensorUnavailable("not plugged in")

    rig = new_rig(lambda: Absent([]), backoff_secs=0.5, max_backoff_secs=4.0)
    assert rig.driver.statistics().status == "quarantined"
    rig.tick(20.0)
    pauses = np.diff(attempts) / 1e9
    np.testing.assert_allclose(pauses, [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0])
    assert rig.driver.statistics().num_faults == len(attempts)


def test_one_poll_takes_no_more_than_its_share(synthetic: Callable[..., Any]) -> None:
    rig = synthetic(max_per_poll=5)
    rig.clock.advance(2_000_000_000)
    assert [rig.driver.poll(rig.clock.now_ns()) for _ in range(6)] == [5, 5, 5, 5, 1, 0]


@pytest.mark.parametrize(("rate_hz", "tick_secs"), [(1000, 0.05), (100, 1.0), (0.5, 0.05)])
def test_a_fast_source_does_not_fall_behind_in_slow_ticks(
    new_rig: Callable[..., Any], clock: ManualClock, context: SensorContext, rate_hz: float, tick_secs: float
) -> None:
    config = SyntheticConfig(rate_hz=rate_hz)
    rig = new_rig(lambda: SyntheticSensor(config, context))
    for _ in range(200):
        clock.advance(round(tick_secs * 1e9))
        rig.driver.poll(clock.now_ns())
        age_ns = clock.now_ns() - rig.driver.statistics().captured_ns
        assert age_ns <= max(tick_secs, 1 / rate_hz) * 1e9
    assert rig.driver.statistics().num_late == 0
    assert rig.driver.statistics().num_readings == int(200 * tick_secs * rate_hz) + 1


def test_a_poll_takes_what_came_since_the_one_before(
    synthetic: Callable[..., Any], clock: ManualClock
) -> None:
    rig = synthetic(max_per_poll=1)
    rig.driver.poll(clock.now_ns())
    clock.advance(1_000_000_000)
    assert rig.driver.poll(clock.now_ns()) == 10
    assert rig.driver.poll(clock.now_ns()) == 0


def test_each_restart_is_a_fresh_instance_and_the_old_one_is_closed(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    made: list[ScriptedSensor] = []

    def make() -> ScriptedSensor:
        made.append(ScriptedSensor([SensorError("broken")]))
        return made[-1]

    rig = new_rig(make)
    made = made[1:]  # the rig made one to learn the spec
    rig.tick(2.0)
    assert len(made) >= 2
    assert [(sensor.num_opened, sensor.num_closed) for sensor in made[:-1]] == [(1, 1)] * (len(made) - 1)


def test_a_device_with_another_spec_after_a_restart_stays_quarantined(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    made = iter([2, 2, 3, 2])
    rig = new_rig(lambda: ScriptedSensor([SensorError("broken")], size=next(made)))
    rig.tick(0.7)
    assert "another spec" in rig.driver.statistics().last_error
    rig.tick(1.0)
    assert rig.driver.statistics().num_restarts == 1


def test_a_wrong_configuration_is_raised_to_the_caller(
    new_rig: Callable[..., Any], clock: ManualClock
) -> None:
    with pytest.raises(ValueError, match="inline"):
        new_rig(lambda: ScriptedSensor([], is_bounded=False), driver="inline")


def test_the_end_of_a_recording_is_no_fault(
    new_rig: Callable[..., Any], clock: ManualClock, context: SensorContext
) -> None:
    config = SyntheticConfig(rate_hz=10, num_readings=5)
    rig = new_rig(lambda: SyntheticSensor(config, context))
    assert rig.tick(2.0) == list(range(5))
    statistics = rig.driver.statistics()
    assert (statistics.status, statistics.num_faults) == ("exhausted", 0)


def test_reading_the_next_the_freshest_and_waiting(synthetic: Callable[..., Any]) -> None:
    rig = synthetic()
    rig.clock.advance(450_000_000)
    rig.driver.poll(rig.clock.now_ns())
    with rig.driver.read_next() as lease:  # type: ignore[union-attr]
        assert lease.meta.sequence == 0
    with rig.driver.read_freshest(60_000_000) as lease:  # type: ignore[union-attr]
        assert lease.meta.sequence == 4
    assert rig.driver.read_next() is None
    with rig.driver.read_block(1.0) as lease:
        assert lease.meta.sequence == 5
    rig.clock.advance(150_000_000)
    rig.driver.poll(rig.clock.now_ns())
    rig.clock.advance(100_000_000)
    assert rig.driver.read_freshest(60_000_000) is None


def test_waiting_for_a_silent_source_ends(new_rig: Callable[..., Any], clock: ManualClock) -> None:
    rig = new_rig(lambda: ScriptedSensor([]))
    with pytest.raises(MailboxEmpty, match="within 2 s"):
        rig.driver.read_block(2.0)
