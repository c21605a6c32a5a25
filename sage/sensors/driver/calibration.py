"""Calibrations: what a sensor learned about its device is kept, and given back at the next open.

Invariant: a sensor gets back only what a sensor of its name and its reading kept. A file that cannot be read,
or that the sensor refuses, is set aside and logged, and the sensor opens without one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote

import numpy as np

from sage.errors import pass_on
from sage.sensors.contract import Reading, Sensor, SensorError, SensorSpec

Calibration = Mapping[str, float | Sequence[float]]
VERSION = 1
#: Of a sensor's name in the name of its file. A file system takes 255 bytes: the rest is for what is written
#: beside the file.
MAX_NAME_BYTES = 230


@runtime_checkable
class CalibratedSensor(Protocol):
    """What a sensor with a calibration has besides `Sensor`: both methods are optional together.

    Values are finite numbers or lists of them, by name.
    """

    def restore(self, calibration: Calibration) -> None:
        """What an earlier instance kept. Before `open`; raises SensorError for what cannot be its own."""
        ...

    def calibration(self) -> Calibration:
        """What is to be kept. Called after `open` and before `close`."""
        ...


class CalibrationFolder:
    """One JSON file a sensor, in a state directory. Each sensor's is used by its driver's thread alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, spec: SensorSpec) -> dict[str, Any] | None:
        """None where nothing was kept, by another kind of reading, or where the file is damaged. NewerVersion
        for a file of one.
        """
        from sage.durable import NewerVersion, read_json

        path = self.path_of(spec)
        try:
            document = read_json(path, plain_keys=("version", "reading", "values"))
            version = document["version"]
            if isinstance(version, int) and version > VERSION:
                raise NewerVersion(
                    f"{path}: a calibration of version {version}, this version of SAGE reads up to {VERSION}:"
                    " upgrade SAGE, or move the file away"
                )
            if version != VERSION or document["reading"] != _reading_of(spec):
                return None
            return checked(document["values"], spec.name)
        except FileNotFoundError:
            return None
        except NewerVersion:
            raise
        except (OSError, ValueError, KeyError, TypeError, SensorError) as error:
            self.refuse(spec, error)
            return None

    def save(self, spec: SensorSpec, values: dict[str, Any]) -> None:
        """On the disk when it returns. OSError."""
        from sage.durable import checked_json, write_file

        self.folder.mkdir(parents=True, exist_ok=True)
        document = {"version": VERSION, "reading": _reading_of(spec), "values": values}
        write_file(self.path_of(spec), checked_json(document))

    def refuse(self, spec: SensorSpec, error: BaseException) -> None:
        """Set the file aside: the next open has no calibration."""
        from sage.durable import set_aside

        path = self.path_of(spec)
        # What its own sensor refuses is of no other use.
        kept = set_aside(path, is_damaged=lambda _: True) if path.exists() else path
        _log(spec).warning("calibration refused", error=str(error), file=str(kept))

    def path_of(self, spec: SensorSpec) -> Path:
        name = quote(spec.name, safe="")
        if len(name) > MAX_NAME_BYTES:
            digest = hashlib.blake2b(spec.name.encode(), digest_size=16).hexdigest()
            name = f"{name[: MAX_NAME_BYTES - len(digest) - 1]}-{digest}"
        return self.folder / f"{name}.json"


class CalibratingSensor:
    """A sensor whose calibration is restored before it opens, and kept after it opened and before it closes.

    A disk that cannot be written is logged, and is no fault of the sensor.
    """

    def __init__(self, sensor: Sensor, calibrated: CalibratedSensor, folder: CalibrationFolder) -> None:
        self._sensor = sensor
        self._calibrated = calibrated
        self._folder = folder
        self._kept: dict[str, Any] | None = None
        self._is_open = False

    @property
    def spec(self) -> SensorSpec:
        return self._sensor.spec

    def open(self) -> None:
        self._kept = self._folder.load(self.spec)
        if self._kept is not None:
            try:
                self._calibrated.restore(self._kept)
            except BaseException as error:  # around a plug-in: it opens without a calibration
                pass_on(error)
                self._folder.refuse(self.spec, error)
                self._kept = None
        self._sensor.open()
        self._is_open = True
        self._keep()

    def read_into(self, out: np.ndarray) -> Reading | None:
        return self._sensor.read_into(out)

    def close(self) -> None:
        was_open, self._is_open = self._is_open, False
        try:
            if was_open:
                self._keep()
        finally:
            self._sensor.close()

    def _keep(self) -> None:
        values = checked(self._calibrated.calibration(), self.spec.name)
        if not values or values == self._kept:
            return
        try:
            self._folder.save(self.spec, values)
        except OSError as error:
            _log(self.spec).warning("calibration not kept", error=str(error))
        else:
            self._kept = values


def with_calibration(sensor: Sensor, folder: CalibrationFolder | None) -> Sensor:
    """The sensor, whose calibration is kept in `folder` if it has one."""
    if folder is None or not isinstance(sensor, CalibratedSensor):
        return sensor
    return CalibratingSensor(sensor, sensor, folder)


def checked(values: Any, name: str) -> dict[str, Any]:
    """As JSON holds it. SensorError for anything but finite numbers and lists of them, by name."""
    if isinstance(values, Mapping) and all(isinstance(key, str) for key in values):
        plain = {key: _plain(value) for key, value in values.items()}
        if None not in plain.values():
            return plain
    raise SensorError(f"{name}: calibration is {values!r}: give a dict of finite numbers or lists of them")


def _plain(value: Any) -> float | list[float] | None:
    """None for what is no finite number and no list of them."""
    many = isinstance(value, (list, tuple, np.ndarray))
    try:
        numbers = [float(each) for each in (value if many else [value])]
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(math.isfinite(each) for each in numbers):
        return None
    return numbers if many else numbers[0]


def _log(spec: SensorSpec) -> Any:
    import structlog  # a large part of an isolated process's start, for what seldom happens

    return structlog.get_logger("sage.sensors").bind(source=spec.name)


def _reading_of(spec: SensorSpec) -> dict[str, Any]:
    """What a calibration is for: a sensor that measures something else has one of its own."""
    return {
        "shape": list(spec.tensor.shape),
        "dtype": spec.tensor.dtype,
        "observes": list(spec.observes),
        "channels": list(spec.channels),
    }
