"""Real recordings through drivers, all of their streams on one clock, as the loop replays them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.mailbox.record import SUMMARY
from sage.sensors.contract import SensorContext
from sage.sensors.devices.table import TableSensor
from sage.sensors.driver.sensor_driver import DriverStatistics, SensorDriver

TICK_NS = 50_000_000

FLIGHT = {
    "path": "px4/sample_ulg.npz",
    "time": "timestamp",
    "time_scale": 1e-6,
    "start_secs": 130.0,
    "stop_secs": 140.0,
}
WALK = {"time": "t", "time_zero_secs": 0.0}


def replay(
    sources: dict[str, tuple[Any, dict[str, Any]]], folder: Path
) -> tuple[dict[str, DriverStatistics], np.ndarray]:
    """Everything until all are exhausted; what each driver counted, and all summaries in order."""
    clock = ManualClock(3_000_000_000)
    context = SensorContext(clock=clock, epoch_ns=clock.now_ns(), base_dir=folder)
    peripheral = PeripheralMailbox("summaries", clock=clock, capacity=1 << 14)
    records = peripheral.subscribe()
    drivers = []
    for producer, (name, (kind, settings)) in enumerate(sources.items()):
        config = kind.Config.model_validate({"name": name, **settings})
        num_bytes = kind(config, context).spec.tensor.num_bytes
        focus = FocusMailbox(name, clock=clock, slots=4, slot_bytes=num_bytes)

        def make(kind: Any = kind, config: Any = config) -> Any:
            return kind(config, context)

        driver = SensorDriver(
            make, config=config, peripheral=peripheral, focus=focus, clock=clock, producer=producer
        )
        driver.start()
        drivers.append(driver)
    while any(driver.statistics().status == "running" for driver in drivers):
        for driver in drivers:
            driver.poll(clock.now_ns())
            lease = driver.read_freshest()
            if lease is not None:
                lease.release()
        clock.advance(TICK_NS)
    delivered = records.pop_many(1 << 14).records.view(SUMMARY)
    return {driver.spec.name: driver.statistics() for driver in drivers}, delivered


def assert_nothing_was_lost(statistics: DriverStatistics) -> None:
    assert statistics.status == "exhausted"
    counts = (statistics.num_dropped, statistics.num_late, statistics.num_duplicate, statistics.num_reordered)
    assert counts == (0, 0, 0, 0)
    assert (statistics.num_flooded, statistics.num_faults) == (0, 0)


def test_a_flight_replays_whole(recordings: Path) -> None:
    flight = {
        "imu": (
            TableSensor,
            {**FLIGHT, "key": "sensor_combined_0", "columns": [f"gyro_rad[{k}]" for k in range(3)]},
        ),
        "attitude": (TableSensor, {**FLIGHT, "key": "vehicle_attitude_0"}),
        "position": (TableSensor, {**FLIGHT, "key": "vehicle_local_position_0"}),
    }
    counts, delivered = replay(flight, recordings)
    for statistics in counts.values():
        assert_nothing_was_lost(statistics)
    assert counts["imu"].num_readings > 2200
    assert counts["position"].num_readings > 90
    assert len(delivered) == sum(statistics.num_readings for statistics in counts.values())


def test_a_walk_keeps_its_streams_together(recordings: Path) -> None:
    pytest.importorskip("av", reason="pictures and sound need the package av")
    from sage.sensors.devices.audio import AudioSensor
    from sage.sensors.devices.video import VideoSensor

    clip = {"path": "gopro_max/clip.mp4"}
    walk: dict[str, tuple[Any, dict[str, Any]]] = {
        name: (TableSensor, {**WALK, "path": f"gopro_max/{name}.csv"})
        for name in ("ACCL", "GYRO", "MAGN", "GPS5")
    }
    walk["eye"] = (VideoSensor, {**clip, "width": 32, "height": 24, "rate_hz": 10})
    walk["ear"] = (AudioSensor, clip)
    counts, delivered = replay(walk, recordings)
    for statistics in counts.values():
        assert_nothing_was_lost(statistics)
    # The recording lasts 10.5 s: every stream ends there, on the one clock.
    ends_secs = [statistics.captured_ns / 1e9 - 3.0 for statistics in counts.values()]
    assert all(end_secs == pytest.approx(10.5, abs=0.12) for end_secs in ends_secs)
    assert counts["eye"].num_readings == 105
    assert counts["ear"].num_readings == 105
    for producer in range(len(walk)):
        assert (np.diff(delivered["stamp_ns"][delivered["producer"] == producer]) >= 0).all()


def test_two_replays_give_the_same_records(recordings: Path) -> None:
    imu = {"imu": (TableSensor, {"path": "xio/sensor_data.csv", "time": "Time (s)", "stop_secs": 5.0})}
    (_, one), (_, two) = replay(imu, recordings), replay(imu, recordings)
    assert len(one) > 490
    assert one.tobytes() == two.tobytes()
