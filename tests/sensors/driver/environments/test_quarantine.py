"""A fault of one endpoint is a fault of all; a new environment follows after a pause. In this process and in
one of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.errors import InputError
from sage.mailbox.clock import ManualClock
from sage.mailbox.shared.memory.identity import identity_of, is_alive
from sage.sensors.contract import Effector, Sensor, SensorContext, SensorError
from sage.sensors.driver.environments import wire
from sage.sensors.driver.environments.host import specs_of
from sage.sensors.testing.faulty_environment import FaultyConfig, FaultyEnvironment

DEADLINE_SECS = 60.0
BOTH = pytest.mark.parametrize("is_manual", [True, False], ids=["inline", "process"])
#: Faults that a process survives, so that they can be had in this one.
CATCHABLE = {"raise": "divides by zero", "nan": "NaN", "shape": "ValueError"}
FATAL = {"hang": "has not returned", "crash": "SIGKILL"}


@BOTH
def test_an_action_changes_the_world_and_its_readings_arrive(
    make_rig: Callable[..., Any], is_manual: bool
) -> None:
    rig = make_rig(is_manual=is_manual)
    for _ in range(5):
        action = rig.act(0.5)
        assert not action.is_held
        np.testing.assert_array_equal(action.values, [0.5])
    rig.poll_until(lambda: all(len(rig.values[name]) == 6 for name in ("count", "reward", "reset")))
    assert [float(value[0]) for value in rig.values["count"]] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert [float(value[0]) for value in rig.values["reward"]] == [0.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert [float(value[0]) for value in rig.values["reset"]] == [0, 0, 0, 0, 0, 1]


def fault_of(make_rig: Callable[..., Any], fault: str, message: str, **settings: Any) -> None:
    rig = make_rig(fault=fault, fault_step=3, hang_secs=0.3, **settings)
    rig.act()
    rig.act()
    if fault in ("nan", "shape"):  # the step returns; its readings are at fault
        try:
            rig.act()
        except SensorError:
            assert fault == "shape"
    else:
        with pytest.raises(SensorError):
            rig.act()
    rig.poll_until(lambda: all(each.num_faults >= 1 for each in rig.statistics()))
    assert any(message in each.last_error for each in rig.statistics()), rig.statistics()
    rig.poll_until(lambda: all(each.num_restarts >= 1 for each in rig.statistics()))
    for values in rig.values.values():
        values.clear()

    def acts_again() -> bool:
        try:
            return not rig.act(0.25).is_held
        except SensorError:  # opening, or in quarantine until its pause has passed
            return False

    rig.poll_until(acts_again)
    rig.poll_until(lambda: 0.25 in [float(each[0]) for each in rig.values["count"]])


@BOTH
@pytest.mark.parametrize("fault", CATCHABLE)
def test_after_a_fault_all_are_in_quarantine_and_then_start_again(
    make_rig: Callable[..., Any], fault: str, is_manual: bool
) -> None:
    fault_of(make_rig, fault, CATCHABLE[fault], is_manual=is_manual)


@pytest.mark.parametrize("fault", FATAL)
def test_a_process_that_hangs_or_crashes_costs_its_own_readings_only(
    make_rig: Callable[..., Any], fault: str
) -> None:
    fault_of(make_rig, fault, FATAL[fault], is_manual=False)


@BOTH
def test_an_environment_that_does_not_open_is_shown_with_its_reason(
    make_rig: Callable[..., Any], is_manual: bool
) -> None:
    with pytest.raises(SensorError, match="no world found: start one"):
        make_rig(is_manual=is_manual, fault="open")


@BOTH
def test_a_configuration_that_is_refused_when_it_opens_is_an_input_error(
    make_rig: Callable[..., Any], is_manual: bool
) -> None:
    with pytest.raises(SensorError, match="give the name of a world"):
        make_rig(is_manual=is_manual, fault="refuse")
    rig = make_rig(is_manual=is_manual, fault="refuse", opens_effector=False)

    def start() -> None:
        rig.start()
        rig.poll_until(lambda: False)

    with pytest.raises(InputError, match="give the name of a world"):
        start()


@BOTH
def test_the_last_endpoint_that_closes_ends_the_environment(
    make_rig: Callable[..., Any], is_manual: bool
) -> None:
    rig = make_rig(is_manual=is_manual)
    rig.act()
    rig.poll_until(lambda: len(rig.values["count"]) == 2)
    rig.close()
    assert {each.status for each in rig.statistics()} == {"closed"}
    rig.close()


def test_a_process_outlives_the_thread_of_the_effector_that_started_it(
    make_rig: Callable[..., Any],
) -> None:
    rig = make_rig(is_manual=False)
    process, thread = rig.host._process, rig.effector._thread
    rig.effector.close()
    thread.join(DEADLINE_SECS)
    process.request(wire.ABORT, 0)  # replies
    rig.poll()
    assert process.failure is None
    assert not any(each.num_faults for each in rig.statistics())


def test_a_process_that_hangs_ends_with_the_process_of_the_loop() -> None:
    text = f"""
import sys, time
from sage.mailbox.clock import RealClock
from sage.mailbox.shared.memory.identity import my_identity
from sage.sensors.driver.environments.plan import EnvironmentPlan
from sage.sensors.driver.environments.process import EnvironmentProcess
plan = EnvironmentPlan(
    target="sage.sensors.testing.faulty_environment:FaultyEnvironment",
    config={{"kind": "faulty", "name": "world", "fault": "hang", "fault_step": 1}},
    epoch_ns=0, base_dir=".", parent=my_identity(),
)
process = EnvironmentProcess("world", plan, num_sensors=3, hang_ns=10**11)
process.wait_ready({DEADLINE_SECS})
process.request({wire.OPEN}, 0)
print(process._process._process.pid, flush=True)
process.request({wire.APPLY}, 0, 0, b"\\0" * 4)
"""
    loop = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    assert loop.stdout is not None
    world = identity_of(int(loop.stdout.readline()))
    assert world is not None
    time.sleep(0.1)
    assert is_alive(world), "it hangs; it has not failed"
    loop.kill()
    loop.wait()
    deadline = time.monotonic() + DEADLINE_SECS
    while is_alive(world) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(world)


class Twice:
    """An environment whose sensors have their names twice."""

    def __init__(self, environment: FaultyEnvironment) -> None:
        self._environment = environment

    def sensors(self) -> tuple[Sensor, ...]:
        return self._environment.sensors() * 2

    def effectors(self) -> tuple[Effector, ...]:
        return ()

    def open(self) -> None:
        self._environment.open()

    def close(self) -> None:
        self._environment.close()


def test_two_endpoints_with_one_name_are_refused() -> None:
    context = SensorContext(clock=ManualClock(0), epoch_ns=0)
    with pytest.raises(InputError, match=r"faulty\.count: two sensors"):
        specs_of(Twice(FaultyEnvironment(FaultyConfig(), context)))
