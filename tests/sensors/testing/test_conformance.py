"""Every built-in kind passes the kit, and the kit finds each kind of defect."""

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, Sensor, SensorContext
from sage.sensors.devices.clock import ClockSensor
from sage.sensors.devices.host import HostSensor
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor
from sage.sensors.devices.table import TableSensor
from sage.sensors.testing.conformance import CHECKS, check_sensor

TABLE = "t,x\n" + "".join(f"{k / 10},{k}\n" for k in range(100))

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "clock": (ClockSensor, {}),
    "host": (HostSensor, {}),
    "synthetic": (SyntheticSensor, {}),
    "synthetic image": (SyntheticSensor, {"shape": (12, 16, 3), "dtype": "uint8"}),
    "synthetic on a thread": (
        SyntheticSensor,
        {"faults": [{"at_secs": 1e6, "for_secs": 1, "fault": "hang"}]},
    ),
    "table": (TableSensor, {"path": "log.csv", "time": "t"}),
    "looped table": (TableSensor, {"path": "log.csv", "time": "t", "stop_secs": 0.25, "loop": True}),
}


def media() -> dict[str, tuple[Any, dict[str, Any]]]:
    from sage.sensors.devices.audio import AudioSensor
    from sage.sensors.devices.video import VideoSensor

    picture, tone = "testsrc2=size=32x24:rate=10", "sine=frequency=440:sample_rate=16000"
    return {
        "video": (VideoSensor, {"lavfi": picture}),
        "camera": (
            VideoSensor,
            {"device": picture, "device_format": "lavfi", "consent": True, "width": 32, "height": 24},
        ),
        "audio": (AudioSensor, {"lavfi": tone}),
        "microphone": (
            AudioSensor,
            {"device": tone, "device_format": "lavfi", "consent": True, "mono": False},
        ),
    }


def maker(kind: Any, settings: dict[str, Any], context: SensorContext) -> Callable[[], Sensor]:
    return lambda: kind(kind.Config.model_validate(settings), context)


@pytest.mark.parametrize("name", KINDS)
def test_built_in_kinds_conform(
    name: str, clock: ManualClock, context: SensorContext, tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text(TABLE)
    kind, settings = KINDS[name]
    for result in check_sensor(maker(kind, settings, context), clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


@pytest.mark.parametrize("name", ["video", "camera", "audio", "microphone"])
def test_pictures_and_sound_conform(name: str, clock: ManualClock, context: SensorContext) -> None:
    pytest.importorskip("av", reason="pictures and sound need the package av")
    kind, settings = media()[name]
    for result in check_sensor(maker(kind, settings, context), clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


def test_a_recording_of_one_reading_conforms(
    clock: ManualClock, context: SensorContext, tmp_path: Path
) -> None:
    (tmp_path / "log.csv").write_text("t,x\n0,1\n")

    def make() -> Sensor:
        here = SensorContext(clock=clock, epoch_ns=clock.now_ns(), base_dir=tmp_path)
        return TableSensor(TableSensor.Config(path=Path("log.csv"), time="t"), here)

    for result in check_sensor(make, clock=clock):
        assert result.is_ok, f"{result.name}: {result.detail}"


class BadSensor(SyntheticSensor):
    """Does one thing wrong, by name."""

    wrong = ""
    num_made = 0
    release = threading.Event()

    def __init__(self, config: SyntheticConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        type(self).num_made += 1
        self.is_really_open = False
        self.num_reads = 0

    @property
    def spec(self) -> Any:
        spec = super().spec
        if self.wrong == "spec changes" and self.is_really_open:
            return spec.__class__(
                name=spec.name,
                modality="physical",
                tensor=TensorSpec(shape=(9,)),
                period_ns=spec.period_ns,
                observes=spec.observes,
            )
        return spec

    def open(self) -> None:
        super().open()
        self.is_really_open = True

    def close(self) -> None:
        if self.wrong == "close twice fails" and not self.is_really_open:
            raise RuntimeError("not open")
        self.is_really_open = False
        super().close()

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self.wrong == "hangs":
            self.release.wait()
        if self.wrong == "reads while closed" and not self._is_open:
            return None
        reading = super().read_into(out)
        if reading is None:
            return None
        if self.wrong == "nan":
            out[3] = math.nan
        elif self.wrong == "half written":
            out[4:] = np.frombuffer(
                bytes([(0xA5, 0x5A, 0x3C, 0xC3)[self.num_reads % 4]]) * 16, dtype=np.float32
            )
        elif self.wrong == "sequence stands":
            reading = Reading(captured_ns=reading.captured_ns, received_ns=reading.received_ns, sequence=0)
        elif self.wrong == "from the future":
            reading = Reading(
                captured_ns=reading.captured_ns + 10**12,
                received_ns=reading.received_ns,
                sequence=reading.sequence,
            )
        self.num_reads += 1
        return reading


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ("spec changes", "spec_never_changes"),
        ("nan", "readings_are_whole"),
        ("half written", "readings_are_whole"),
        ("sequence stands", "stamps_and_counts_only_grow"),
        ("from the future", "stamps_and_counts_only_grow"),
        ("close twice fails", "closing_is_safe"),
        ("reads while closed", "reading_while_closed_raises"),
    ],
)
def test_the_kit_finds(wrong: str, check: str, clock: ManualClock, context: SensorContext) -> None:
    kind = type("Wrong", (BadSensor,), {"wrong": wrong})
    results = {
        result.name: result for result in check_sensor(lambda: kind(SyntheticConfig(), context), clock=clock)
    }
    assert list(results) == list(CHECKS)
    assert not results[check].is_ok
    assert results[check].detail
    assert results["config_is_a_sensor_config"].is_ok


def test_a_bounded_sensor_that_hangs_is_a_result(clock: ManualClock, context: SensorContext) -> None:
    release = threading.Event()
    kind = type("Hanging", (BadSensor,), {"wrong": "hangs", "release": release})
    results = check_sensor(lambda: kind(SyntheticConfig(), context), clock=clock, timeout_secs=0.2)
    release.set()
    (bounded,) = [result for result in results if result.name == "a_bounded_read_returns"]
    assert not bounded.is_ok
    assert "hangs" in bounded.detail


def test_a_kind_that_cannot_be_made_fails_every_check_and_raises_nothing(clock: ManualClock) -> None:
    def make() -> Sensor:
        raise RuntimeError("no such device")

    results = check_sensor(make, clock=clock)
    assert not any(result.is_ok for result in results)
    assert {result.detail for result in results} == {"RuntimeError: no such device"}
