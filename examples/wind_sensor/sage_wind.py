"""The sensor kind "wind": an anemometer's NMEA 0183 sentences (MWV) as the wind's velocity.

Invariant: a sentence with a wrong checksum, or one that the anemometer itself calls invalid, is no reading;
it lowers the quality of the next ones.
"""

from __future__ import annotations

import math
import os
import stat
from collections import deque
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from sage.sensors import (
    Reading,
    SensorConfig,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
    SourceExhausted,
    TensorSpec,
)

#: Unit in a sentence -> m/s.
SPEEDS = {"M": 1.0, "K": 1 / 3.6, "N": 1852 / 3600}
QUALITY_SENTENCES = 20


class WindConfig(SensorConfig):
    """path: a log, a pipe or a terminal.  period_secs: time between sentences.

    north_deg: where the vane's zero points, clockwise from north.
    """

    kind: Literal["wind"] = "wind"
    path: Path
    period_secs: float = Field(0.5, gt=0)
    north_deg: float = 0.0


class WindSensor:
    """Velocity to the east and to the north, m/s. Bounded: what has not arrived yet is not waited for."""

    Config = WindConfig
    contract_version = 1

    def __init__(self, config: WindConfig, context: SensorContext) -> None:
        self._path = context.base_dir / config.path
        self._north_deg = config.north_deg
        self._clock = context.clock
        self._file: int | None = None
        self._ends = False
        self._text = b""
        self._due_ns = 0
        self._sequence = 0
        self._recent: deque[bool] = deque(maxlen=QUALITY_SENTENCES)
        self.spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(2,)),
            period_ns=round(config.period_secs * 1e9),
            observes=("wind velocity", "m/s"),
            channels=("east", "north"),
            is_bounded=True,
        )

    def open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise SensorUnavailable(
                f"{self.spec.name}: {self._path}: {error.strerror}: plug it in, or correct `path`"
            ) from error
        self._ends = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._text = b""
        self._sequence = 0
        self._due_ns = self._clock.now_ns()
        self._recent.clear()

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._file is None:
            raise SensorError(f"{self.spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return None
        while (sentence := self._next_sentence(self._file)) is not None:
            velocity = velocity_of(sentence, self._north_deg)
            self._recent.append(velocity is not None)
            self._sequence += 1
            self._due_ns += self.spec.period_ns
            if velocity is not None:
                out[...] = velocity
                return self._reading(now_ns)
        return None

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _reading(self, now_ns: int) -> Reading:
        num_bad = len(self._recent) - sum(self._recent)
        return Reading(
            captured_ns=now_ns,
            received_ns=now_ns,
            sequence=self._sequence - 1,
            quality=1 - num_bad / len(self._recent),
            health=f"{num_bad} of the last {len(self._recent)} sentences are invalid" if num_bad else "",
        )

    def _next_sentence(self, file: int) -> bytes | None:
        """None where it has not arrived; SourceExhausted at the end of a log."""
        while b"\n" not in self._text:
            try:
                data = os.read(file, 4096)
            except BlockingIOError:
                return None
            if not data:
                if self._ends:
                    raise SourceExhausted(f"{self.spec.name}: end of {self._path}")
                return None
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line.strip()


def velocity_of(sentence: bytes, north_deg: float) -> tuple[float, float] | None:
    """(east, north) in m/s of "$WIMWV,angle,R,speed,unit,A*checksum"; None for one that is not valid.

    A vane points to where the wind comes from; the velocity is where it blows to.
    """
    body, _, check = sentence.removeprefix(b"$").partition(b"*")
    parts = body.decode("ascii", "replace").split(",")
    if len(parts) != 6 or not parts[0].endswith("MWV") or parts[5] != "A" or parts[4] not in SPEEDS:
        return None
    checksum = 0
    for byte in body:
        checksum ^= byte
    try:
        if int(check[:2], 16) != checksum:
            return None
        angle, speed = math.radians(float(parts[1]) + north_deg), float(parts[3]) * SPEEDS[parts[4]]
    except ValueError:
        return None
    return -speed * math.sin(angle), -speed * math.cos(angle)
