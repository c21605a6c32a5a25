"""A manual clock that does not start at 0, a context on it, and where real recordings are."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Reading, Sensor, SensorContext, SourceExhausted

EPOCH_NS = 7_000_000_000
ReadUntil = Callable[[Sensor, ManualClock, float], list[tuple[Reading, np.ndarray]]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(EPOCH_NS)


@pytest.fixture
def context(clock: ManualClock, tmp_path: Path) -> SensorContext:
    return SensorContext(clock=clock, epoch_ns=EPOCH_NS, base_dir=tmp_path)


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings, or a skip."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("SAGE_DATA", root.parent / "shared" / "data")) / "sensors"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}: set SAGE_DATA")
    return folder


@pytest.fixture
def read_until() -> ReadUntil:
    """Reads an open sensor from now until so many seconds later, in steps of 10 ms, or to its end."""

    def read(sensor: Sensor, clock: ManualClock, duration_secs: float) -> list[tuple[Reading, np.ndarray]]:
        told: list[tuple[Reading, np.ndarray]] = []
        out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
        stop_ns = clock.now_ns() + round(duration_secs * 1e9)
        while True:
            try:
                reading = sensor.read_into(out)
            except SourceExhausted:
                return told
            if reading is not None:
                told.append((reading, out.copy()))
            elif clock.now_ns() >= stop_ns:
                return told
            else:
                clock.advance(10_000_000)

    return read
