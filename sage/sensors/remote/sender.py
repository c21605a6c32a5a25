"""Sending the readings of this host's sources. Invariant: a slow or absent receiver delays nothing: a reading
that does not fit the link is dropped by zenoh, and the receiver counts the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from sage.mailbox.clock import Clock
from sage.sensors.contract import Reading, SensorSpec
from sage.sensors.remote.link import open_session
from sage.sensors.remote.mirror import MailboxSender
from sage.sensors.remote.pictures import JpegEncoder
from sage.sensors.remote.wire import Encoding, Header, describe, key_of

#: Of one picture: beyond this a link of a few Mbit/s with 1% loss does not carry 30 of them a second.
MAX_PICTURE_BYTES = 12_000


def is_picture(spec: SensorSpec) -> bool:
    """Whether its readings are (H, W, 3) uint8."""
    return spec.tensor.dtype == "uint8" and len(spec.tensor.shape) == 3 and spec.tensor.shape[2] == 3


class SourceSender:
    """One source of a host."""

    def __init__(
        self, session: Any, host: str, spec: SensorSpec, started_ns: int, *, max_picture_bytes: int
    ) -> None:
        zenoh: Any = import_module("zenoh")
        encoding: Encoding = "jpeg" if is_picture(spec) else "raw"
        self._encoder = JpegEncoder(max_picture_bytes) if encoding == "jpeg" else None
        self._encoding: Encoding = encoding
        self._started_ns = started_ns
        self.num_sent = 0
        self.num_bytes = 0
        self._publisher = session.declare_publisher(
            key_of(host, spec.name),
            congestion_control=zenoh.CongestionControl.DROP,
            reliability=zenoh.Reliability.BEST_EFFORT,
            express=True,
        )
        key, description = key_of(host, spec.name, "spec"), describe(spec, encoding)
        self._answers = session.declare_queryable(key, lambda query: query.reply(key, description))

    def send(self, values: np.ndarray, reading: Reading) -> None:
        """Send one reading; returns at once."""
        header = Header(
            started_ns=self._started_ns,
            sequence=reading.sequence,
            captured_ns=reading.captured_ns,
            encoding=self._encoding,
            noise_std=reading.noise_std,
            quality=reading.quality,
            confidence=reading.confidence,
            health=reading.health,
        )
        payload = values.tobytes() if self._encoder is None else self._encoder.encode(values)
        self._publisher.put(payload, attachment=header.packed())
        self.num_sent += 1
        self.num_bytes += len(payload)

    def close(self) -> None:
        self._answers.undeclare()
        self._publisher.undeclare()


class HostSender:
    """The session of a host that sends, its clock, its sources, and its mailboxes."""

    def __init__(
        self,
        host: str,
        specs: Sequence[SensorSpec],
        clock: Clock,
        *,
        listen: Sequence[str],
        settings: Path | None = None,
        max_picture_bytes: int = MAX_PICTURE_BYTES,
        mailboxes: Sequence[str] = (),
    ) -> None:
        self._session = open_session(listen=listen, settings=settings)
        started_ns = clock.now_ns()
        key = key_of(host, "clock")
        self._clock = self._session.declare_queryable(
            key, lambda query: query.reply(key, clock.now_ns().to_bytes(8, "little", signed=True))
        )
        self.sources = {
            spec.name: SourceSender(
                self._session, host, spec, started_ns, max_picture_bytes=max_picture_bytes
            )
            for spec in specs
        }
        try:
            self.mailboxes = {name: MailboxSender(self._session, host, name, clock) for name in mailboxes}
        except BaseException:
            self._session.close()
            raise

    def forward(self) -> None:
        """Send the new records of all mailboxes; returns at once."""
        for mailbox in self.mailboxes.values():
            mailbox.forward()

    def close(self) -> None:
        for source in self.sources.values():
            source.close()
        for mailbox in self.mailboxes.values():
            mailbox.close()
        self._clock.undeclare()
        self._session.close()
