"""An inertial measurement unit on a serial line: accelerations and angular velocities, with the gyroscope's
offset removed.

Invariant: a damaged frame is counted and lowers the quality; it is never a reading. A line that is silent, or
a device that is unplugged, is a fault: the driver opens the port again until the device is back.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SensorUnavailable
from sage.sensors.devices.imu_lines import MAX_BINARY_VALUES, FrameCount, FrameParser, LineFormat

#: The device's own count of its readings, among the columns.
COUNT = "count"
#: Frames that the quality is measured over.
QUALITY_FRAMES = 100
#: Frames that are read ahead, and the standard deviation in rad/s above which the device is not at rest.
MAX_WAITING, MAX_REST_STD = 256, 0.02
GYROSCOPE = ("gx", "gy", "gz")


class ImuConfig(SensorConfig):
    """port: a serial device, or a URL of pyserial, for example socket://HOST:PORT.  format: of a frame.

    columns: values of a frame in order; those beginning with a are accelerations, with g angular velocities,
    "count" is the device's own count, which may wrap round or begin again; any other is left out.
    acceleration_scale, angular_scale: to m/s^2 and rad/s.
    rate_hz: of the device.  silent_secs: without a frame for so long, the line has failed.
    rest_secs: time at rest after the first start to measure the gyroscope's offset by; 0: none is removed.
    """

    kind: Literal["imu"] = "imu"
    port: str = Field(min_length=1)
    baud: int = Field(115200, ge=300, le=8_000_000)
    format: LineFormat = "csv"
    columns: tuple[str, ...] = ("ax", "ay", "az", *GYROSCOPE)
    acceleration_scale: float = Field(1.0, gt=0)
    angular_scale: float = Field(1.0, gt=0)
    rate_hz: float = Field(100.0, gt=0, le=4000)
    silent_secs: float = Field(1.0, gt=0)
    rest_secs: float = Field(0.0, ge=0)

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name != COUNT and name[:1] in ("a", "g"))

    @model_validator(mode="after")
    def _check_columns(self) -> ImuConfig:
        if len(set(self.columns)) != len(self.columns) or not self.channels:
            raise InputError(
                f"columns is {self.columns}: give each value of a frame a name of its own, accelerations"
                " beginning with a, angular velocities with g"
            )
        if self.format == "binary" and len(self.columns) > MAX_BINARY_VALUES:
            raise InputError(
                f"columns has {len(self.columns)} values: a binary frame holds {MAX_BINARY_VALUES} at most"
            )
        if self.rest_secs and not set(GYROSCOPE) <= set(self.columns):
            raise InputError(f"rest_secs is {self.rest_secs}: it needs the columns {', '.join(GYROSCOPE)}")
        return self


class ImuSensor:
    """One frame a read, stamped on receipt; a read waits for the line, on its driver's thread."""

    Config = ImuConfig
    contract_version = 1

    def __init__(self, config: ImuConfig, context: SensorContext) -> None:
        _import_serial(config.name)  # a package that is missing is an error before anything is opened
        self._config = config
        self._clock = context.clock
        self._period_ns = round(1e9 / config.rate_hz)
        self._serial: Any = None
        self._parser = self._new_parser()
        self._waiting: deque[tuple[int, int, tuple[float, ...]]] = deque(maxlen=MAX_WAITING)
        self._recent: deque[bool] = deque(maxlen=QUALITY_FRAMES)
        self._count = FrameCount(is_float32=config.format == "binary")
        self._heard_ns = 0
        self._last_ns = 0
        self._offset: np.ndarray | None = None
        self._rest: list[np.ndarray] = []
        columns = config.columns
        self._picked = [columns.index(name) for name in config.channels]
        self._scale = np.array(
            [
                config.angular_scale if name.startswith("g") else config.acceleration_scale
                for name in config.channels
            ]
        )
        self._gyroscope = [config.channels.index(name) for name in GYROSCOPE if name in config.channels]
        self._count_column = columns.index(COUNT) if COUNT in columns else None
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(len(config.channels),)),
            period_ns=self._period_ns,
            observes=("acceleration, angular velocity", "m/s^2, rad/s"),
            channels=config.channels,
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def num_damaged(self) -> int:
        """Frames that were damaged, since it opened."""
        return self._parser.num_bad

    def restore(self, calibration: Any) -> None:
        """The offset that an earlier run measured: it is not measured again."""
        offset = np.array(calibration.get("gyroscope_offset", []), dtype=np.float64)
        if offset.shape != (len(GYROSCOPE),):
            raise SensorError(f"{self._spec.name}: the calibration has no offset of three axes")
        self._offset = offset

    def calibration(self) -> dict[str, Any]:
        """gyroscope_offset: in rad/s, by axis; empty where none was measured."""
        return {} if self._offset is None else {"gyroscope_offset": self._offset.tolist()}

    def open(self) -> None:
        serial = _import_serial(self._spec.name)
        config = self._config
        timeout_secs = max(0.05, 2e-9 * self._period_ns)
        try:
            self._serial = serial.serial_for_url(config.port, baudrate=config.baud, timeout=timeout_secs)
        except (serial.SerialException, OSError, ValueError) as error:
            raise SensorUnavailable(f"{self._spec.name}: {config.port}: {_remedy(error)}") from error
        self._parser = self._new_parser()
        self._waiting.clear()
        self._recent.clear()
        self._rest.clear()
        self._count = FrameCount(is_float32=self._config.format == "binary")
        self._heard_ns = self._clock.now_ns()

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._serial is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        if not self._waiting:
            self._receive()
        if not self._waiting:
            self._check_silence()
            return None
        captured_ns, sequence, values = self._waiting.popleft()
        np.multiply([values[index] for index in self._picked], self._scale, out=out, casting="same_kind")
        health = self._remove_offset(out)
        quality = sum(self._recent) / len(self._recent)
        if quality < 1:  # without their number: a change of the text is an event of the run
            health = f"some of the last {QUALITY_FRAMES} frames are damaged"
        return Reading(
            captured_ns=captured_ns,
            received_ns=self._clock.now_ns(),
            sequence=sequence,
            quality=min(quality, 0.5) if health and quality == 1 else quality,
            health=health,
        )

    def close(self) -> None:
        port, self._serial = self._serial, None
        self._waiting.clear()
        if port is not None:
            port.close()

    def _new_parser(self) -> FrameParser:
        return FrameParser(self._config.format, len(self._config.columns))

    def _receive(self) -> None:
        """Wait for bytes, at most two periods; then take all that are there."""
        serial = _import_serial(self._spec.name)
        try:
            data = self._serial.read(1)
            data += self._serial.read(self._serial.in_waiting)
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial's, where another thread has closed the port
            text = " ".join(str(error).split())
            raise SensorError(f"{self._spec.name}: {self._config.port}: {text}: is it unplugged?") from error
        num_bad = self._parser.num_bad
        frames = self._parser.feed(data)
        self._recent.extend([False] * (self._parser.num_bad - num_bad))
        self._recent.extend([True] * len(frames))
        now_ns = self._clock.now_ns()
        for index, values in enumerate(frames):
            # the last of several is of now, the others one period before each other
            captured_ns = max(self._last_ns, now_ns - (len(frames) - 1 - index) * self._period_ns)
            count = None if self._count_column is None else round(values[self._count_column])
            self._waiting.append((captured_ns, self._count.next(count), values))
            self._last_ns = captured_ns
            self._heard_ns = now_ns

    def _check_silence(self) -> None:
        silent_ns = self._clock.now_ns() - self._heard_ns
        if silent_ns > self._config.silent_secs * 1e9:
            raise SensorError(
                f"{self._spec.name}: {self._config.port}: no frame for {silent_ns / 1e9:.1f} s,"
                f" {self.num_damaged} damaged: check the cable, baud ({self._config.baud}), format"
                f" ({self._config.format}) and columns"
            )

    def _remove_offset(self, out: np.ndarray) -> str:
        """Health: what is missing of it."""
        if self._offset is None and self._config.rest_secs:
            self._measure_offset(out)
        if self._offset is not None:
            out[self._gyroscope] -= self._offset
            return ""
        return "the gyroscope's offset is being measured: keep it at rest" if self._config.rest_secs else ""

    def _measure_offset(self, out: np.ndarray) -> None:
        """The mean over rest_secs in which the device did not move; a movement starts it again."""
        self._rest.append(out[self._gyroscope].astype(np.float64))
        if len(self._rest) < max(2, round(self._config.rest_secs * self._config.rate_hz)):
            return
        seen = np.array(self._rest)
        self._rest.clear()
        if (seen.std(axis=0) <= MAX_REST_STD).all():
            self._offset = seen.mean(axis=0)


def _import_serial(name: str) -> Any:
    try:
        import serial
    except ImportError as error:
        raise SensorUnavailable(
            f"{name}: the package pyserial is missing: pip install 'sage-runtime[sensors]'"
        ) from error
    return serial


def _remedy(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return "no such device: plug it in, or correct `port`"
    if number == errno.EACCES:
        return "permission denied: add your user to the port's group (often dialout) and log in again"
    if number == errno.EBUSY:
        return "in use: stop the other program that has it open"
    return f"{' '.join(str(error).split())}: correct `port`"
