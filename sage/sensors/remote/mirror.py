"""A peripheral mailbox of one host, mirrored on another.

`sage/v1/HOST/mailbox/NAME` has records as they are in the ring, and as attachment when the sender began and
the ticket of the first one; `.../NAME/spec` answers with the ring's sizes. Invariant: records that were
overwritten before they were sent, or that the link lost, are counted by the gap in their tickets. A record
that arrives has its stamp on the receiver's clock and refers to no tensor, which stays on its host.
"""

from __future__ import annotations

import threading
from collections import deque
from importlib import import_module
from typing import Any

import msgpack
import numpy as np

from sage.errors import DataError, SageError
from sage.mailbox.clock import Clock
from sage.mailbox.errors import MailboxClosed
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.sensors.contract import SensorUnavailable
from sage.sensors.remote.link import RemoteHost
from sage.sensors.remote.wire import key_of, unpacked

#: Records of one message: 12 kB, as one picture.
NUM_TOGETHER = 48
#: Messages whose age is kept.
NUM_AGES = 1024
_KIND = "mailbox"


class MailboxSender:
    """Sends every record of a ring that is pushed from now on. MailboxError where there is none of the name.

    num_sent: records.  is_closed: the process that made the ring has closed it.
    """

    def __init__(self, session: Any, host: str, name: str, clock: Clock) -> None:
        zenoh: Any = import_module("zenoh")
        key = key_of(host, _KIND, name)
        self._ring = SharedPeripheral.attach(name, clock=clock)
        self._subscription = self._ring.subscribe()
        self._started_ns = clock.now_ns()
        self.num_sent = 0
        self.num_bytes = 0
        self.is_closed = False
        self._publisher = session.declare_publisher(
            key,
            congestion_control=zenoh.CongestionControl.DROP,
            reliability=zenoh.Reliability.BEST_EFFORT,
            express=True,
        )
        sizes = msgpack.packb([self._ring.record_bytes, self._ring.capacity])
        self._answers = session.declare_queryable(
            f"{key}/spec", lambda query: query.reply(f"{key}/spec", sizes)
        )

    def forward(self) -> None:
        """Send what was pushed since the last call, a ring of it at most: one that is pushed faster than it
        can be sent delays nothing else. Returns at once.
        """
        for _ in range(-(-self._ring.capacity // NUM_TOGETHER)):
            if self.is_closed:
                return
            try:
                batch = self._subscription.try_pop_many(NUM_TOGETHER)
            except MailboxClosed:
                self.is_closed = True
                return
            if not len(batch):
                return
            payload = batch.records.tobytes()
            header = msgpack.packb([self._started_ns, batch.first_ticket])
            self._publisher.put(payload, attachment=header)
            self.num_sent += len(batch)
            self.num_bytes += len(payload)

    def close(self) -> None:
        self._answers.undeclare()
        self._publisher.undeclare()
        self._subscription.close()
        self._ring.close()


class MailboxMirror:
    """A ring of this host with the records of one of another host, until `close`.

    SensorUnavailable where the other host sends none of that name, MailboxError where the local name is
    taken. num_received, num_lost: records.  problem: of the last message that could not be read.
    """

    def __init__(self, host: RemoteHost, name: str, clock: Clock, *, local_name: str | None = None) -> None:
        self._host, self._clock = host, clock
        key = key_of(host.name, _KIND, name)
        answer = host.ask(f"{key}/spec")
        if answer is None:
            raise SensorUnavailable(
                f"host {host.name} sends no mailbox {name}: start `sage bridge serve --mailbox {name}` there"
            )
        record_bytes, capacity = _integers(answer)
        self._ring = SharedPeripheral.create(
            local_name or name, clock=clock, capacity=capacity, record_bytes=record_bytes
        )
        self._lock = threading.Lock()
        self._sender: int | None = None
        self._next_ticket = 0
        self._ages_ns: deque[int] = deque(maxlen=NUM_AGES)
        self.num_received = 0
        self.num_lost = 0
        self.num_faults = 0
        self.problem = ""
        self._subscriber = host.session.declare_subscriber(key, self._take)

    @property
    def name(self) -> str:
        """Of the local ring."""
        return self._ring.name

    def age_p95_ns(self) -> float:
        """Of the last messages, from a record's stamp to its arrival; NaN before the first."""
        with self._lock:
            ages = list(self._ages_ns)
        return float(np.quantile(ages, 0.95)) if ages else float("nan")

    def close(self) -> None:
        self._subscriber.undeclare()
        self._ring.close()
        self._ring.unlink()

    def _take(self, sample: Any) -> None:
        """On a thread of zenoh."""
        attachment = sample.attachment
        with self._lock:
            try:
                header = bytes(attachment.to_bytes()) if attachment is not None else b""
                self._push(header, bytes(sample.payload.to_bytes()))
            except (SageError, OverflowError) as error:
                self.num_faults += 1
                self.problem = str(error)

    def _push(self, header: bytes, payload: bytes) -> None:
        started_ns, ticket = _integers(header)
        if not payload or len(payload) % self._ring.record_bytes:
            raise DataError(
                f"message has {len(payload)} bytes: expected records of {self._ring.record_bytes}"
            )
        records = np.frombuffer(payload, self._ring.dtype).copy()
        if started_ns != self._sender:
            self._sender, self._next_ticket = started_ns, ticket
        if ticket < self._next_ticket:
            return  # it arrived late, and is counted as lost
        stamps = records["stamp_ns"]
        stamps += self._host.local_ns(int(stamps[0])) - int(stamps[0])
        records["focus_slot"] = records["focus_generation"] = 0
        self._ring.push_many(records)
        self.num_lost += ticket - self._next_ticket
        self._next_ticket = ticket + len(records)
        self.num_received += len(records)
        self._ages_ns.append(self._clock.now_ns() - int(stamps[0]))


def _integers(data: bytes) -> tuple[int, int]:
    """DataError for anything but two integers that are not negative."""
    found = unpacked(data)
    if not isinstance(found, list) or [type(each) for each in found] != [int, int] or min(found) < 0:
        raise DataError(f"message has {found!r:.80}: expected two integers")
    return found[0], found[1]
