"""What the sensors share that replay a topic of another program's recording.

Invariant: a message is read when it is due on the run's clock, each once, in order; several topics of one
file have one time axis. The file is read as the clock goes on, not whole. A message that is damaged costs no
other one: it is a gap in the sequence, and is named in the health of the readings after it.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import Field

from sage.errors import DataError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import (
    Modality,
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
    SourceExhausted,
)
from sage.sensors.recordings.fields import MAX_FIELDS, is_picture, numbers, picture, reader_of

#: Messages that the period is estimated from, and of which one must be whole.
_NUM_FIRST = 64
#: Messages that the quality is the share of those that are whole; a fault where none is.
_NUM_RECENT = 64


class TopicConfig(SensorConfig):
    """path: relative to the current directory.  topic: in it.

    fields: paths of numbers in a message, for example "linear_acceleration.x" or "values[0]"; all of the
    first message when left out, up to 64. A picture has none.  max_rate_hz: messages closer than this to the
    one before are left out.  missing: what to do with a number that is not finite: "error" or "drop" (leave
    the message out).  time_zero_secs: time since the file's first message at the run's start; earlier
    messages are left out.  stop_secs: time since the file's first message after which nothing is read.
    noise_std: claimed, in the unit.
    """

    path: Path
    topic: str = Field(min_length=1)
    fields: tuple[str, ...] | None = Field(None, min_length=1)
    observes: str = "message"
    unit: str = "1"
    modality: Modality = "physical"
    max_rate_hz: float | None = Field(None, gt=0)
    missing: Literal["error", "drop"] = "error"
    time_zero_secs: float = Field(0.0, ge=0)
    stop_secs: float | None = Field(None, gt=0)
    noise_std: float | None = Field(None, ge=0)


class TopicFile(Protocol):
    """A file that is open. topics: (name, schema's name) of each.  start_ns: of its first message."""

    @property
    def topics(self) -> Sequence[tuple[str, str]]: ...

    @property
    def start_ns(self) -> int: ...

    def messages(self, topic: str, from_ns: int) -> Iterator[tuple[int, Callable[[], Any]]]:
        """(time in ns, a call that returns the message), from a time on. The call raises DataError for a
        message that cannot be decoded, the iterator where the file cannot be read on.
        """
        ...

    def close(self) -> None: ...


class TopicSensor:
    """A kind overrides `_open_file`. Bounded."""

    def __init__(self, config: TopicConfig, context: SensorContext) -> None:
        self._config = config
        self._path = context.base_dir / config.path
        self._clock = context.clock
        self._epoch_ns = context.epoch_ns
        self._zero_ns = round(config.time_zero_secs * 1e9)
        self._noise_std = math.nan if config.noise_std is None else config.noise_std
        self._file: TopicFile | None = None
        self._items: Iterator[tuple[int, np.ndarray | DataError]] = iter(())
        self._next: tuple[int, np.ndarray | DataError] | None = None
        self._problem = ""
        self._recent: deque[bool] = deque([True] * _NUM_RECENT, maxlen=_NUM_RECENT)
        self._damage = ""
        self._sequence = 0
        self._schema = ""
        self._paths: tuple[str, ...] = ()
        self._spec = self._described()

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        """Go on at the message that is due next on the clock."""
        self.close()
        self._file = self._opened()
        self._sequence = 0
        self._recent.extend([True] * _NUM_RECENT)
        elapsed_ns = max(0, self._clock.now_ns() - self._epoch_ns)
        self._items = self._readings(self._file, elapsed_ns)
        self._advance()
        self._raise_problem()

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._file is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        while self._next is not None and self._epoch_ns + self._next[0] <= now_ns:
            at_ns, values = self._next
            self._sequence += 1
            if isinstance(values, DataError) and all(self._recent):
                self._damage = str(values)
            self._recent.append(not isinstance(values, DataError))
            self._advance()
            if not isinstance(values, DataError):
                out[...] = values
                return self._reading(at_ns, now_ns)
            if not any(self._recent):
                raise SensorError(f"{self._path}: {self._config.topic}: {_NUM_RECENT} in a row: {values}")
        if self._next is None:
            self._raise_problem()
            raise SourceExhausted(f"{self._spec.name}: end of the recording")
        return None

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _reading(self, at_ns: int, now_ns: int) -> Reading:
        """Of the message before `_sequence`. The health is one text while there is damage, so that it is one
        event.
        """
        quality = sum(self._recent) / len(self._recent)
        return Reading(
            captured_ns=self._epoch_ns + at_ns,
            received_ns=now_ns,
            sequence=self._sequence - 1,
            noise_std=self._noise_std,
            quality=quality,
            health="" if quality == 1 else f"messages are damaged, the first one: {self._damage}",
        )

    def _open_file(self, path: Path) -> TopicFile:
        """SensorUnavailable for a file that cannot be read, or a package that is missing."""
        raise NotImplementedError

    def _opened(self) -> TopicFile:
        if not self._path.exists():
            raise SensorUnavailable(
                f"{self._path}: no such file: check `path`, which is relative to the current directory"
            )
        return self._open_file(self._path)

    def _described(self) -> SensorSpec:
        file = self._opened()
        try:
            return self._spec_of(file)
        except DataError as error:
            raise SensorUnavailable(f"{self._path}: {self._config.topic}: {error}") from error
        finally:
            file.close()

    def _spec_of(self, file: TopicFile) -> SensorSpec:
        config, schemas = self._config, dict(file.topics)
        if config.topic not in schemas:
            listed = ", ".join(sorted(schemas)) or "none"
            raise SensorUnavailable(f"{self._path}: no topic {config.topic!r}: it has {listed}")
        self._schema = schemas[config.topic]
        tensor = self._tensor_of(file)
        times_ns = self._first_times(file)
        if not times_ns:
            raise SensorUnavailable(
                f"{self._path}: topic {config.topic!r} has no message from time_zero_secs on"
            )
        return SensorSpec(
            name=config.name,
            modality=config.modality,
            tensor=tensor,
            period_ns=_median_step_ns(times_ns),
            observes=(config.observes, config.unit) if self._paths else ("light", "sRGB 0..255"),
            channels=self._paths,
            is_bounded=True,
        )

    def _tensor_of(self, file: TopicFile) -> TensorSpec:
        """By the first message that is whole, of the first _NUM_FIRST; DataError of the first one if none is.
        Sets the paths of numbers; a picture has none.
        """
        topic, first_error = self._config.topic, None
        for _, decode in itertools.islice(file.messages(topic, file.start_ns), _NUM_FIRST):
            found = self._tensor_by(decode)
            if isinstance(found, TensorSpec):
                return found
            first_error = first_error or found
        if first_error is not None:
            raise first_error
        raise SensorUnavailable(f"{self._path}: topic {topic!r} has no message: choose another one")

    def _tensor_by(self, decode: Callable[[], Any]) -> TensorSpec | DataError:
        """By one message; its error where it is damaged."""
        try:
            message = decode()
            if is_picture(self._schema) and self._config.fields is None:
                return TensorSpec(shape=picture(message, self._schema).shape, dtype="uint8")
            paths = self._config.fields or self._all_fields(message)
            reader_of(paths)(message)
        except DataError as error:
            return error
        self._paths = paths
        return TensorSpec(shape=(len(paths),), dtype="float32")

    def _first_times(self, file: TopicFile) -> list[int]:
        """Times of the first messages, up to a place where the file cannot be read."""
        times_ns: list[int] = []
        try:
            for at_ns, _ in itertools.islice(self._kept(file, 0), _NUM_FIRST):
                times_ns.append(at_ns)
        except DataError:
            if not times_ns:
                raise
        return times_ns

    def _all_fields(self, message: Any) -> tuple[str, ...]:
        paths = tuple(path for path, _ in numbers(message))
        if not 1 <= len(paths) <= MAX_FIELDS:
            raise DataError(f"a message has {len(paths)} numbers: choose up to {MAX_FIELDS} in `fields`")
        return paths

    def _kept(self, file: TopicFile, from_ns: int) -> Iterator[tuple[int, Callable[[], Any]]]:
        """(time since the run's start, call as of TopicFile) within the config's time and rate."""
        config, start_ns = self._config, file.start_ns + self._zero_ns
        stop_ns = math.inf if config.stop_secs is None else config.stop_secs * 1e9 - self._zero_ns
        gap_ns = 0.0 if config.max_rate_hz is None else 0.999e9 / config.max_rate_hz
        next_ns = -math.inf
        for time_ns, decode in file.messages(config.topic, start_ns + from_ns):
            at_ns = time_ns - start_ns
            if at_ns > stop_ns:
                return
            if at_ns >= max(from_ns, next_ns):
                next_ns = at_ns + gap_ns
                yield at_ns, decode

    def _readings(self, file: TopicFile, from_ns: int) -> Iterator[tuple[int, np.ndarray | DataError]]:
        read = reader_of(self._paths)
        for at_ns, decode in self._kept(file, from_ns):
            try:
                values = self._values(read, decode())
            except DataError as error:
                yield at_ns, error
                continue
            if self._paths and self._config.missing == "drop" and not np.isfinite(values).all():
                continue
            yield at_ns, values

    def _values(self, read: Callable[[Any], list[float]], message: Any) -> np.ndarray:
        if self._paths:
            with np.errstate(over="ignore"):  # beyond float32 is infinity, which `missing` is for
                return np.array(read(message), dtype=np.float64).astype(np.float32)
        values = picture(message, self._schema)
        if values.shape != self._spec.tensor.shape:
            raise DataError(f"a picture is {values.shape}, the first one is {self._spec.tensor.shape}")
        return values

    def _advance(self) -> None:
        """A place where the file cannot be read on is a fault after the reading before it."""
        self._problem = ""
        try:
            self._next = next(self._items, None)
        except DataError as error:
            self._next = None
            self._problem = f"{self._path}: {self._config.topic}: {error}"

    def _raise_problem(self) -> None:
        if self._problem:
            raise SensorError(self._problem)


def _median_step_ns(times_ns: list[int]) -> int:
    """Of steps above 0; a second where there is none."""
    steps_ns = np.diff(np.array(times_ns, dtype=np.int64))
    steps_ns = steps_ns[steps_ns > 0]
    return int(np.median(steps_ns)) if len(steps_ns) else 1_000_000_000
