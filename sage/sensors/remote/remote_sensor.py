"""A source of another host, as that host's `sage bridge serve` sends it. The newest reading is taken; ages
are on this host's clock, and lost readings are counted.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.errors import DataError
from sage.mailbox.tensor_spec import MAX_DIMS, TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.connections import SharedConnection
from sage.sensors.contract import (
    Modality,
    Reading,
    ReadingDtype,
    SensorContext,
    SensorError,
    SensorSpec,
    SensorUnavailable,
)
from sage.sensors.remote.link import RemoteHost
from sage.sensors.remote.pictures import decode_into
from sage.sensors.remote.wire import Header, check_name, described, read_raw

#: Of one wait for a reading.
MAX_WAIT_SECS = 0.25


class RemoteConfig(SensorConfig):
    """endpoint: of the other host, for example tcp/192.168.1.5:7447 or udp/192.168.1.5:7447.  host: the name
    that it serves under.  source: the name of the source there; `name` when left out.

    shape, dtype, rate_hz, quantity, unit, channels, modality: of its readings, as `sage bridge list` prints
    them.  zenoh_config: a JSON5 file of zenoh, for example with TLS certificates.
    """

    kind: Literal["remote"] = "remote"
    endpoint: str = Field(pattern=r"^[a-z0-9]+/.+")
    host: str = Field(min_length=1)
    source: str | None = None
    shape: tuple[int, ...] = Field(max_length=MAX_DIMS)
    dtype: ReadingDtype = "float32"
    rate_hz: float = Field(gt=0, le=10_000)
    quantity: str = "value"
    unit: str = "1"
    channels: tuple[str, ...] = ()
    modality: Modality = "physical"
    zenoh_config: Path | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    header: Header
    payload: bytes
    received_ns: int

    def is_newer_than(self, other: _Message | None) -> bool:
        """Of two of one sender, by its count: a link without an order may deliver the older one last."""
        is_same_sender = other is not None and other.header.started_ns == self.header.started_ns
        return other is None or not is_same_sender or self.header.sequence > other.header.sequence


class RemoteSensor:
    """One reading a read, the newest that has arrived; waits up to a few periods for it."""

    Config = RemoteConfig

    def __init__(self, config: RemoteConfig, context: SensorContext) -> None:
        self._config = config
        self._context = context
        self._source = check_name(config.source or config.name)
        self._spec = SensorSpec(
            name=config.name,
            modality=config.modality,
            tensor=TensorSpec(shape=config.shape, dtype=config.dtype),
            period_ns=round(1e9 / config.rate_hz),
            observes=(config.quantity, config.unit),
            channels=config.channels,
        )
        self._host: SharedConnection[RemoteHost] | None = None
        self._subscriber: Any = None
        self._changed = threading.Condition()
        self._newest: _Message | None = None
        self._problem = ""
        self._sequence = -1
        self._base = 0  # of the sequence of the sender's current run
        self._started_ns: int | None = None
        self._captured_ns = -1

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        config, context = self._config, self._context
        settings = None if config.zenoh_config is None else context.base_dir / config.zenoh_config
        self._host = context.connections.open(
            ("zenoh", config.endpoint, config.host, settings),
            lambda: RemoteHost(config.host, config.endpoint, context.clock, settings),
        )
        try:
            self._check(self._host.value.description(self._source))
            self._subscriber = self._host.value.subscribe(self._source, self._take)
        except BaseException:
            self.close()
            raise

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._host is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest is not None or self._problem,
                min(4 * self._spec.period_ns / 1e9, MAX_WAIT_SECS),
            )
            message, self._newest = self._newest, None
            problem, self._problem = self._problem, ""
        if problem:
            raise SensorError(f"{self._spec.name}: {problem}")
        return None if message is None else self._read(message, out)

    def close(self) -> None:
        subscriber, self._subscriber = self._subscriber, None
        host, self._host = self._host, None
        if subscriber is not None:
            subscriber.undeclare()
        if host is not None:
            host.close()

    def _take(self, sample: Any) -> None:
        """On a thread of zenoh: keep the newest."""
        received_ns = self._context.clock.now_ns()
        attachment = sample.attachment
        with self._changed:
            try:
                header = Header.unpacked(bytes(attachment.to_bytes()) if attachment is not None else b"")
                message = _Message(header, bytes(sample.payload.to_bytes()), received_ns)
                if message.is_newer_than(self._newest):
                    self._newest = message
            except DataError as error:
                self._problem = str(error)
            self._changed.notify()

    def _read(self, message: _Message, out: np.ndarray) -> Reading:
        header = message.header
        assert self._host is not None
        if header.started_ns != self._started_ns:
            self._note_sender(header)
        try:
            if header.encoding == "jpeg":
                decode_into(message.payload, out)
            else:
                read_raw(message.payload, out)
        except DataError as error:
            raise SensorError(f"{self._spec.name}: {error}") from None
        captured_ns = min(self._host.value.local_ns(header.captured_ns), message.received_ns)
        # A better estimate of the offset may move times back by less than its error.
        self._captured_ns = max(captured_ns, self._captured_ns + 1)
        self._sequence = max(header.sequence + self._base, self._sequence)
        return Reading(
            captured_ns=self._captured_ns,
            received_ns=max(message.received_ns, self._captured_ns),
            sequence=self._sequence,
            noise_std=header.noise_std,
            quality=header.quality,
            confidence=header.confidence,
            health=header.health,
        )

    def _note_sender(self, header: Header) -> None:
        """The first reading of a run of the sender. One that began again counts from 0, and may have other
        sensors. What was sent before the first reading is not lost.
        """
        assert self._host is not None
        if self._started_ns is not None:
            self._host.value.sync_soon()
            self._check(self._host.value.description(self._source))
        self._started_ns = header.started_ns
        self._base = self._sequence + 1 - header.sequence

    def _check(self, description: bytes) -> None:
        """SensorUnavailable where the source differs from the configuration."""
        try:
            there = described(description, self._spec.name)
        except DataError as error:
            raise SensorUnavailable(f"{self._spec.name}: {error}") from None
        for key, here, found in (
            ("shape", self._spec.tensor.shape, there.tensor.shape),
            ("dtype", self._spec.tensor.dtype, there.tensor.dtype),
            ("[quantity, unit]", self._spec.observes, there.observes),
        ):
            if here != found:
                raise SensorUnavailable(
                    f"{self._spec.name}: {key} is {here}, host {self._config.host} sends {found}: correct"
                    " the configuration"
                )
