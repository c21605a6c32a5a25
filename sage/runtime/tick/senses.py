"""Sense and gather: every due driver is read, and the newest lease of each source is taken.

Borrowed tensors are valid until `release`, at the end of the tick. Invariant: N sources cost one pop of the
peripheral ring and at most N leases a tick, whatever their rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from sage.compiled import has_compiler
from sage.mailbox.contract import Lease, Peripheral
from sage.mailbox.record import SUMMARY
from sage.sensors.driver.batch import RecordBatch
from sage.sensors.driver.sensor_driver import DriverStatistics, SensorDriver
from sage.sensors.latest import LatestReadings

MAX_RECORDS = 1024


@dataclass(slots=True)
class Gathered:
    """One tick's readings: (N,) arrays, and the leases of sources with a new reading.

    captured_ns: of the newest reading, -1 before the first.  confidence: of the newest record, 1 before it.
    """

    fresh: np.ndarray
    captured_ns: np.ndarray
    quality: np.ndarray
    confidence: np.ndarray
    statistics: list[DriverStatistics]
    leases: dict[int, Lease] = field(default_factory=dict)

    def release(self) -> None:
        """Release every lease; safe to call twice."""
        for lease in self.leases.values():
            lease.release()
        self.leases.clear()


class Senses:
    """The drivers of a run and the loop's side of their mailboxes. Producer i of the ring is driver i.

    latest: gets the readings of sources that other sensors watch.
    """

    def __init__(
        self, drivers: Sequence[SensorDriver], records: Peripheral, latest: LatestReadings | None = None
    ) -> None:
        self.drivers = tuple(drivers)
        self._latest = latest or LatestReadings()
        self._subscription = records.subscribe(start="latest")
        self._batch = RecordBatch(records) if has_compiler() else None
        if self._batch is not None:
            for driver in self.drivers:
                driver.batch_records(self._batch)
        num = len(self.drivers)
        self._captured_ns = np.full(num, -1, dtype=np.int64)
        self._quality = np.ones(num)
        self._confidence = np.ones(num)

    def start(self) -> None:
        for driver in self.drivers:
            driver.start()

    def close(self) -> None:
        """Close every driver; an error is raised after all are closed."""
        with ExitStack() as stack:
            stack.callback(self._subscription.close)
            for driver in self.drivers:
                stack.callback(driver.close)

    def sense(self, now_ns: int) -> None:
        for driver in self.drivers:
            driver.poll(now_ns)
        if self._batch is not None:
            self._batch.flush()

    def drain(self, now_ns: int) -> None:
        """Read every source and drop what it delivered."""
        self.sense(now_ns)
        self.gather().release()

    def gather(self) -> Gathered:
        """The newest lease of each source; the mailbox counts the skipped ones."""
        num = len(self.drivers)
        leases = {}
        for index, driver in enumerate(self.drivers):
            lease = driver.read_freshest()
            if lease is not None:
                leases[index] = lease
                meta = lease.meta
                self._captured_ns[index] = meta.stamp_ns
                self._quality[index] = meta.quality
                self._latest.put(driver.spec.name, lease.array, meta.stamp_ns)
        self._read_records()
        fresh = np.zeros(num, dtype=bool)
        fresh[list(leases)] = True
        return Gathered(
            fresh=fresh,
            captured_ns=self._captured_ns.copy(),
            quality=self._quality.copy(),
            confidence=self._confidence.copy(),
            statistics=[driver.statistics() for driver in self.drivers],
            leases=leases,
        )

    def _read_records(self) -> None:
        while True:
            batch = self._subscription.try_pop_many(MAX_RECORDS)
            if len(batch):
                self._take(batch.records.view(SUMMARY))
            if len(batch) < MAX_RECORDS:
                return

    def _take(self, records: np.ndarray) -> None:
        """Of several records of one producer the last one stays: numpy assigns repeated indices in order."""
        index = records["producer"].astype(np.intp)
        self._confidence[index] = records["confidence"]
