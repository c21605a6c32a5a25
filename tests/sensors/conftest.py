"""A manual clock that does not start at 0, a context on it, a driver with mailboxes, and where real
recordings are.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.record import SUMMARY
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, Sensor, SensorContext, SourceExhausted
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.driver.sensor_driver import SensorDriver

EPOCH_NS = 7_000_000_000
TICK_NS = 50_000_000
ReadUntil = Callable[[Sensor, ManualClock, float], list[tuple[Reading, np.ndarray]]]


class Rig:
    """One driver with mailboxes of its own, on a manual clock."""

    def __init__(
        self, clock: ManualClock, make: Callable[[], Sensor], num_slots: int = 256, **settings: Any
    ) -> None:
        spec = make().spec
        self.clock = clock
        self.peripheral = PeripheralMailbox("summaries", clock=clock, capacity=4096)
        self.focus = FocusMailbox(spec.name, clock=clock, slots=num_slots, slot_bytes=spec.tensor.num_bytes)
        self.records = self.peripheral.subscribe()
        max_per_poll = settings.pop("max_per_poll", 32)
        config = SensorConfig.model_validate({"kind": "test", "name": spec.name, **settings})
        self.driver = SensorDriver(
            make,
            config=config,
            peripheral=self.peripheral,
            focus=self.focus,
            clock=clock,
            producer=3,
            max_per_poll=max_per_poll,
        )
        self.driver.start()

    def tick(self, secs: float) -> list[int]:
        """Poll for so long, every 50 ms; the sequences that were delivered."""
        delivered = []
        stop_ns = self.clock.now_ns() + round(secs * 1e9)
        while self.clock.now_ns() < stop_ns:
            self.clock.advance(TICK_NS)
            self.driver.poll(self.clock.now_ns())
            while (lease := self.driver.read_next()) is not None:
                with lease:
                    assert np.isfinite(lease.array).all()
                    delivered.append(lease.meta.sequence)
        return delivered

    def summaries(self) -> np.ndarray:
        return self.records.pop_many(4096).records.view(SUMMARY)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(EPOCH_NS)


@pytest.fixture
def context(clock: ManualClock, tmp_path: Path) -> SensorContext:
    return SensorContext(clock=clock, epoch_ns=EPOCH_NS, base_dir=tmp_path)


@pytest.fixture
def recordings(data_folder: Path) -> Path:
    """The folder of real recordings of sensors, or a skip."""
    if not (data_folder / "sensors").is_dir():
        pytest.skip(f"no real recordings in {data_folder}: set SAGE_DATA")
    return data_folder / "sensors"


@pytest.fixture
def read_until() -> ReadUntil:
    """Reads an open sensor from now until so many seconds later, in steps of 10 ms, or to its end."""

    def read(sensor: Sensor, clock: ManualClock, duration_secs: float) -> list[tuple[Reading, np.ndarray]]:
        delivered: list[tuple[Reading, np.ndarray]] = []
        out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
        stop_ns = clock.now_ns() + round(duration_secs * 1e9)
        while True:
            try:
                reading = sensor.read_into(out)
            except SourceExhausted:
                return delivered
            if reading is not None:
                delivered.append((reading, out.copy()))
            elif clock.now_ns() >= stop_ns:
                return delivered
            else:
                clock.advance(10_000_000)

    return read


@pytest.fixture
def new_rig(clock: ManualClock) -> Callable[..., Rig]:
    """Makes a rig of `make` and settings of its config."""
    return functools.partial(Rig, clock)


@pytest.fixture
def synthetic(clock: ManualClock, context: SensorContext) -> Callable[..., Rig]:
    """A rig around a synthetic source of 10 Hz, whose `fault` lasts from 1 to 2 s."""

    def make_rig(fault: str | None = None, size: float = 1.0, for_secs: float = 1.0, **settings: Any) -> Rig:
        faults = (
            [] if fault is None else [{"at_secs": 1.0, "for_secs": for_secs, "fault": fault, "size": size}]
        )
        config = SyntheticConfig.model_validate({"rate_hz": 10, "faults": faults})
        return Rig(clock, lambda: SyntheticSensor(config, context), **settings)

    return make_rig
