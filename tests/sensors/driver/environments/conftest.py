"""Drivers of all sensors and effectors of one environment, in this process or in one of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from sage.mailbox import Hub, RealClock
from sage.mailbox.clock import Clock, ManualClock
from sage.sensors.contract import Action, SensorContext
from sage.sensors.driver.effector_driver import EffectorDriver
from sage.sensors.driver.environments.host import EnvironmentHost, specs_of
from sage.sensors.driver.environments.remote import EnvironmentIsolation, UnreadSensor
from sage.sensors.driver.isolation.plan import target_of
from sage.sensors.driver.sensor_driver import DriverStatistics, SensorDriver
from sage.sensors.testing.faulty_environment import FaultyConfig, FaultyEnvironment

DEADLINE_SECS = 60.0
TICK_NS = 20_000_000


class WorldRig:
    """One environment with its drivers. is_manual: in this process on a manual clock, else isolated."""

    def __init__(self, *, is_manual: bool, kind: Any = FaultyEnvironment, **settings: Any) -> None:
        self.clock: Clock = ManualClock(1_000_000_000) if is_manual else RealClock()
        self.hub = Hub(self.clock)
        config = kind.Config.model_validate({"name": "world", "backoff_secs": 0.05, **settings})
        context = SensorContext(clock=self.clock, epoch_ns=self.clock.now_ns())
        host: Any
        if is_manual:
            host = EnvironmentHost(config.name, lambda: kind(config, context))
        else:
            sensors, effectors = specs_of(kind(config, context))
            host = EnvironmentIsolation(
                target=target_of(kind),
                config=config,
                context=lambda: context,
                sensors=sensors,
                effectors=effectors,
            )
        self.host = host
        self.drivers = {
            spec.name.partition(".")[2]: self._driver(index, host, config, is_manual=is_manual)
            for index, spec in enumerate(host.sensor_specs)
        }
        self.effector = EffectorDriver(host.effector(0), clock=self.clock, is_inline=is_manual)
        self.values: dict[str, list[np.ndarray]] = {name: [] for name in self.drivers}

    def _driver(self, index: int, host: Any, config: FaultyConfig, *, is_manual: bool) -> SensorDriver:
        spec = host.sensor_specs[index]
        return SensorDriver(
            (lambda: host.sensor(index)) if is_manual else (lambda: UnreadSensor(spec)),
            config=config,
            peripheral=self.hub.peripheral(spec.name, capacity=256),
            focus=self.hub.focus(f"{spec.name}.focus", slots=64, slot_bytes=spec.tensor.num_bytes),
            clock=self.clock,
            producer=index,
            isolation=None if is_manual else host.sensor(index),
        )

    def open(self, *, opens_effector: bool = True) -> None:
        """Start the drivers; a test may do that itself, to see what it raises."""
        if opens_effector:
            self.effector.open()
            self.start()

    def start(self) -> None:
        for driver in self.drivers.values():
            driver.start()

    def act(self, value: float = 0.5) -> Action:
        self.effector.begin(np.array([value], np.float32), self.clock.now_ns())
        return self.effector.finish()

    def poll(self) -> None:
        if isinstance(self.clock, ManualClock):
            self.clock.advance(TICK_NS)
        for name, driver in self.drivers.items():
            driver.poll(self.clock.now_ns())
            while (lease := driver.read_next()) is not None:
                with lease:
                    self.values[name].append(lease.array.copy())

    def poll_until(self, is_met: Callable[[], bool]) -> None:
        """Fails after DEADLINE_SECS; real time passes only where the clock is real."""
        deadline = time.monotonic() + DEADLINE_SECS
        while not is_met():
            assert time.monotonic() < deadline, [str(each) for each in self.statistics()]
            self.poll()
            if not isinstance(self.clock, ManualClock):
                self.clock.wait_until(self.clock.now_ns() + 2_000_000)

    def statistics(self) -> list[DriverStatistics]:
        return [driver.statistics() for driver in self.drivers.values()]

    def close(self) -> None:
        self.effector.close()
        for driver in self.drivers.values():
            driver.close()
        self.hub.close()


@pytest.fixture
def make_rig() -> Iterator[Callable[..., WorldRig]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> WorldRig:
            opens_effector = settings.pop("opens_effector", True)
            rig = WorldRig(**settings)
            stack.callback(rig.close)
            rig.open(opens_effector=opens_effector)
            return rig

        yield make
