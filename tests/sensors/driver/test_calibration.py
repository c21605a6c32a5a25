"""A sensor's calibration is kept in a folder and given back at the next open; nothing wrong is given back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.durable import NewerVersion, checked_json, read_json
from sage.mailbox.clock import ManualClock
from sage.sensors.contract import Reading, Sensor, SensorContext, SensorError
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.driver.calibration import CalibratingSensor, CalibrationFolder, checked, with_calibration
from sage.sensors.testing.conformance import check_sensor


class Learns(SyntheticSensor):
    """Counts the readings of its life, and keeps the count."""

    def __init__(self, config: SyntheticConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self.num_seen = 0.0
        self.refuses = False

    def restore(self, calibration: Any) -> None:
        if self.refuses:
            raise SensorError("not mine")
        self.num_seen = calibration["num_seen"]

    def calibration(self) -> dict[str, Any]:
        return {"num_seen": self.num_seen, "gains": np.ones(2)}

    def read_into(self, out: np.ndarray) -> Reading | None:
        reading = super().read_into(out)
        self.num_seen += reading is not None
        return reading


@pytest.fixture
def folder(tmp_path: Path) -> CalibrationFolder:
    return CalibrationFolder(tmp_path / "calibration")


@pytest.fixture
def opened(
    context: SensorContext, clock: ManualClock, folder: CalibrationFolder
) -> Callable[..., tuple[Learns, Sensor]]:
    """Opens a new instance, reads `num` readings and closes it."""

    def use(num: int = 1, name: str = "arm.wrist/2", **attributes: Any) -> tuple[Learns, Sensor]:
        inner = Learns(SyntheticConfig(name=name, shape=attributes.pop("shape", (2,)), rate_hz=10), context)
        for key, value in attributes.items():
            setattr(inner, key, value)
        sensor = with_calibration(inner, folder)
        out = np.zeros(sensor.spec.tensor.shape, dtype=np.float32)
        sensor.open()
        for _ in range(num):
            clock.advance(100_000_000)
            assert sensor.read_into(out) is not None
        sensor.close()
        sensor.close()
        return inner, sensor

    return use


def test_it_is_kept_at_close_and_given_back_at_the_next_open(
    opened: Callable[..., tuple[Learns, Sensor]], folder: CalibrationFolder
) -> None:
    first, sensor = opened(3)
    assert isinstance(sensor, CalibratingSensor)
    (path,) = folder.folder.iterdir()
    assert path.name == "arm.wrist%2F2.json"
    assert json.loads(path.read_text())["values"] == {"num_seen": first.num_seen, "gains": [1.0, 1.0]}
    second, _ = opened(2)
    assert second.num_seen == first.num_seen + 2
    # of another name, or another reading: its own
    assert opened(1, name="other")[0].num_seen == 1
    assert opened(1, shape=(3,))[0].num_seen == 1


def test_names_too_long_for_a_file_have_a_file_each(opened: Callable[..., tuple[Learns, Sensor]]) -> None:
    names = ["温" * 127 + last for last in "度計"]
    for num, name in enumerate(names, start=1):
        opened(num, name=name)
    assert [opened(0, name=name)[0].num_seen for name in names] == [1.0, 2.0]


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', "\x00"])
def test_a_damaged_file_is_set_aside_and_the_sensor_opens(
    content: str, opened: Callable[..., tuple[Learns, Sensor]], folder: CalibrationFolder
) -> None:
    opened(3)
    (path,) = folder.folder.iterdir()
    path.write_text(content)
    assert opened(1)[0].num_seen == 1
    assert sorted(each.name for each in folder.folder.iterdir())[0] == path.name
    assert len(list(folder.folder.iterdir())) == 2


def test_a_file_of_a_newer_version_is_refused_and_stays(
    opened: Callable[..., tuple[Learns, Sensor]], folder: CalibrationFolder
) -> None:
    opened(3)
    (path,) = folder.folder.iterdir()
    document = read_json(path, plain_keys=())
    path.write_bytes(checked_json(document | {"version": 2}))
    before = path.read_bytes()
    with pytest.raises(NewerVersion, match=r"a calibration of version 2, .* reads up to 1: upgrade SAGE"):
        opened(1)
    assert path.read_bytes() == before
    assert [*folder.folder.iterdir()] == [path]


def test_what_the_sensor_refuses_is_set_aside(
    opened: Callable[..., tuple[Learns, Sensor]], folder: CalibrationFolder
) -> None:
    opened(3)
    refusing, _ = opened(1, refuses=True)
    assert refusing.num_seen == 1
    assert len(list(folder.folder.iterdir())) == 2


def test_a_disk_that_cannot_be_written_is_no_fault_of_the_sensor(
    opened: Callable[..., tuple[Learns, Sensor]], folder: CalibrationFolder
) -> None:
    folder.folder.write_text("a file where the folder would be")
    assert opened(2)[0].num_seen == 2


@pytest.mark.parametrize(
    "values",
    [None, [1.0], {"a": float("nan")}, {"a": "b"}, {"a": [1.0, None]}, {1: 2.0}, {"a": {}}, {"a": 10**400}],
)
def test_only_finite_numbers_by_name_are_a_calibration(values: Any) -> None:
    with pytest.raises(SensorError, match=r"wind: calibration is .*: give a dict of finite numbers"):
        checked(values, "wind")


def test_the_driver_keeps_it(new_rig: Callable[..., Any], context: SensorContext, folder: Any) -> None:
    """Across two drivers, as across two runs; a sensor without a calibration is left as it is."""

    def make() -> Sensor:
        return Learns(SyntheticConfig(name="wind", rate_hz=10), context)

    for _ in range(2):
        rig = new_rig(make)
        rig.driver.close()
        rig.driver._calibrations = folder
        rig.driver.renew()
        rig.driver.start()
        rig.tick(1.0)
        rig.driver.close()
    kept = json.loads((folder.folder / "wind.json").read_text())["values"]["num_seen"]
    assert kept > 12
    plain = SyntheticSensor(SyntheticConfig(), context)
    assert with_calibration(plain, folder) is plain


def test_the_kit_checks_it(context: SensorContext, clock: ManualClock) -> None:
    class Forgets(Learns):
        def calibration(self) -> dict[str, Any]:
            return {"num_seen": self.num_seen} | ({} if self.num_seen > 90 else {"first": 1.0})

        def restore(self, calibration: Any) -> None:
            self.num_seen = 99.0

    class Infinite(Learns):
        def calibration(self) -> dict[str, Any]:
            return {"num_seen": float("inf")}

    def result(kind: type[Learns]) -> Any:
        results = check_sensor(lambda: kind(SyntheticConfig(), context), clock=clock)
        return next(each for each in results if each.name == "a_calibration_comes_back")

    assert result(Learns).detail == "num_seen, gains"
    assert "give the same names" in result(Forgets).detail
    assert "give a dict of finite numbers" in result(Infinite).detail


@pytest.mark.parametrize("mode", ["inline", "thread"])
def test_a_source_that_is_disabled_gives_its_device_back_until_it_is_enabled(
    mode: str, new_rig: Callable[..., Any], context: SensorContext
) -> None:
    made: list[SyntheticSensor] = []

    def make() -> Sensor:
        made.append(SyntheticSensor(SyntheticConfig(name="wind", rate_hz=10), context))
        return made[-1]

    rig = new_rig(make, driver=mode)

    def wait_for_thread() -> None:
        if mode == "thread" and rig.driver._engine is not None:
            rig.driver._engine._worker.join(0.01)

    def tick_until(status: str) -> None:
        for _ in range(1000):
            if rig.driver.statistics().status == status:
                return
            rig.tick(0.05)
            wait_for_thread()
        raise AssertionError(rig.driver.statistics())

    tick_until("running")
    assert rig.driver.disable()
    assert not rig.driver.disable()
    assert rig.driver.statistics().status == "disabled"
    rig.tick(1.0)
    num = rig.driver.statistics().num_readings
    assert rig.tick(1.0) == []
    assert rig.driver.enable()
    assert not rig.driver.enable()
    tick_until("running")
    for _ in range(1000):
        if rig.driver.statistics().num_readings > num:
            break
        rig.tick(0.05)
        wait_for_thread()
    statistics = rig.driver.statistics()
    assert statistics.num_readings > num
    assert statistics.num_faults == statistics.num_restarts == 0
    rig.driver.close()
    assert not rig.driver.disable()
    assert all(not sensor._is_open for sensor in made)
