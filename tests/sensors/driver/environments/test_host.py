"""An environment in the loop's process, one of whose calls hangs on an effector's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from sage.mailbox.clock import RealClock
from sage.sensors.contract import SensorContext, SensorError
from sage.sensors.driver.environments import host
from sage.sensors.driver.environments.host import EnvironmentHost
from sage.sensors.testing.faulty_environment import FaultyConfig, FaultyEnvironment

CONTEXT = SensorContext(clock=RealClock(), epoch_ns=0)


class Rig:
    """`apply` of the first environment has begun, and waits for `gate`."""

    def __init__(self, hang_secs: float) -> None:
        self.gate, self.has_begun = threading.Event(), threading.Event()
        self.made: list[FaultyEnvironment] = []
        self.num_closed = 0
        self.host = EnvironmentHost("world", self._make, hang_secs=hang_secs)
        self.sensor, self.effector = self.host.sensor(0), self.host.effector(0)
        self.sensor.open()
        self.effector.open()
        self.thread = threading.Thread(target=self._apply, daemon=True)
        self.thread.start()
        assert self.has_begun.wait(60)

    def _make(self) -> FaultyEnvironment:
        rig = self

        class Closing(FaultyEnvironment):
            def close(self) -> None:
                super().close()
                rig.num_closed += 1

        environment = Closing(FaultyConfig(name="world"), CONTEXT)
        self.made.append(environment)
        return environment

    def _apply(self) -> None:
        instance = self.host.instance()

        def hangs() -> None:
            self.has_begun.set()
            self.gate.wait()

        try:
            instance.call(self.effector, hangs)
        except SensorError as error:
            self.error = str(error)


def rig_of(hang_secs: float) -> Iterator[Rig]:
    rig = Rig(hang_secs)
    yield rig
    rig.gate.set()
    rig.thread.join(60)


slow = pytest.fixture(name="slow")(lambda: (yield from rig_of(600.0)))
hung = pytest.fixture(name="hung")(lambda: (yield from rig_of(0.01)))


def read(rig: Rig) -> object:
    return rig.sensor.read_into(np.zeros(rig.sensor.spec.tensor.shape, rig.sensor.spec.tensor.dtype))


def test_a_sensor_has_no_reading_while_an_effector_acts(slow: Rig) -> None:
    assert read(slow) is None
    slow.gate.set()
    slow.thread.join(60)
    assert read(slow) is not None


def test_a_call_that_hangs_is_a_fault_of_all_and_a_new_environment_follows(hung: Rig) -> None:
    time.sleep(0.02)
    with pytest.raises(SensorError, match=r"a call has not returned within 0\.01 s"):
        read(hung)
    hung.sensor.close()
    num_made = len(hung.made)
    hung.sensor.open()
    assert len(hung.made) == num_made + 1
    assert read(hung) is not None
    num_closed = hung.num_closed
    hung.gate.set()
    hung.thread.join(60)
    assert hung.num_closed == num_closed + 1
    assert "has not returned" in hung.error


def test_closing_and_the_state_do_not_wait_for_a_call_that_hangs(hung: Rig) -> None:
    assert hung.host.state() == {}
    hung.effector.close()
    hung.sensor.close()


def test_an_opening_may_take_longer_than_another_call(slow: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    slow.gate.set()
    slow.thread.join(60)
    has_begun, goes_on = threading.Event(), threading.Event()

    def opens() -> None:
        has_begun.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(host, "OPEN_FACTOR", 10_000)
    instance = slow.host.instance()
    instance._hang_secs = 0.05  # of another call, which is over by the time of the read
    thread = threading.Thread(target=instance.open, args=(slow.effector, opens))
    thread.start()
    assert has_begun.wait(60)
    time.sleep(0.1)
    try:
        assert read(slow) is None
    finally:
        goes_on.set()
        thread.join(60)
    assert read(slow) is not None


def test_an_environment_that_hangs_is_still_aborted(hung: Rig) -> None:
    time.sleep(0.02)
    with pytest.raises(SensorError, match="has not returned"):
        read(hung)
    aborted: list[bool] = []
    effector = hung.host._instance.effectors[0]  # type: ignore[union-attr]
    effector.abort = lambda: aborted.append(True)  # type: ignore[method-assign]
    hung.effector.abort()
    assert aborted == [True]
