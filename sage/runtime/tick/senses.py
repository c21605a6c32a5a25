"""Sense and gather: every due driver is read, and the newest lease of each source is taken.

Small readings of inline sources come in one batch, the others as leases. Borrowed tensors are valid until
`release`, at the end of the tick. Invariant: N sources cost at most one pop of the peripheral ring and N
leases a tick, whatever their rates; sources of events (rewards, resets) a lease a reading, because each one
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from sage.compiled import has_compiler
from sage.mailbox.contract import Lease, Peripheral, Subscription
from sage.mailbox.record import SUMMARY
from sage.sensors.driver.batch import ReadingBatch
from sage.sensors.driver.sensor_driver import SensorDriver, SourceState
from sage.sensors.environment import RESET_QUANTITY, REWARD_QUANTITY, SUCCESS_QUANTITY
from sage.sensors.latest import LatestReadings

MAX_RECORDS = 1024
#: How two readings of a source of events become one, by what it observes: of resets the one that cuts off.
_JOINING: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    REWARD_QUANTITY: np.add,
    RESET_QUANTITY: np.maximum,
    SUCCESS_QUANTITY: lambda earlier, later: later.copy(),
}


@dataclass(slots=True)
class Gathered:
    """One tick's readings: (N,) arrays, and the leases of sources with a new reading.

    captured_ns: of the newest reading, -1 before the first.  confidence: of the newest record, 1 before it.
    batch: has the readings of the sources `batched`, which have no lease.  joined: of sources of events with
    several new readings: all of them as one.
    """

    fresh: np.ndarray
    captured_ns: np.ndarray
    quality: np.ndarray
    confidence: np.ndarray
    states: list[SourceState]
    leases: dict[int, Lease] = field(default_factory=dict)
    batch: ReadingBatch | None = None
    batched: tuple[int, ...] = ()
    joined: dict[int, np.ndarray] = field(default_factory=dict)

    def array(self, source: int) -> np.ndarray | None:
        """The new reading of a source, of its spec's shape and type; None without one."""
        if not self.fresh[source]:
            return None
        if source in self.joined:
            return self.joined[source]
        lease = self.leases.get(source)
        if lease is None:
            assert self.batch is not None
            return self.batch.array(source)
        array: np.ndarray = lease.array
        return array

    def sequence(self, source: int) -> int:
        """Of the newest reading, -1 before the first."""
        lease = self.leases.get(source)
        return self.states[source].sequence if lease is None else lease.meta.sequence

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
        self._index = {driver.spec.name: index for index, driver in enumerate(self.drivers)}
        self._records = records
        self._subscription: Subscription | None = None
        self._batch: ReadingBatch | None = None
        self._batched: tuple[int, ...] = ()
        if has_compiler():
            batch = ReadingBatch(records, [driver.spec.tensor for driver in self.drivers])
            self._batched = tuple(
                index for index, driver in enumerate(self.drivers) if driver.batch_readings(batch)
            )
            self._batch = batch if self._batched else None
        self._leased = tuple(index for index in range(len(self.drivers)) if index not in set(self._batched))
        self._events = {
            index: _JOINING[driver.spec.observes[0]]
            for index, driver in enumerate(self.drivers)
            if driver.spec.observes[0] in _JOINING
        }
        self._max_age_ns = np.array([driver.max_age_ns for driver in self.drivers], dtype=np.int64)
        num = len(self.drivers)
        self._captured_ns = np.full(num, -1, dtype=np.int64)
        self._quality = np.ones(num)
        self._confidence = np.ones(num)
        self._subscribe()

    def post_each(self) -> None:
        """Pass every reading through its source's own mailbox, for a trace of messages. Before `start`."""
        for index in self._batched:
            self.drivers[index].batch_readings(None)
        self._batch, self._batched = None, ()
        self._leased = tuple(range(len(self.drivers)))
        self._subscribe()

    def _subscribe(self) -> None:
        """To the records, of which only those of other sources than the batch's are needed."""
        if self._leased and self._subscription is None:
            self._subscription = self._records.subscribe(start="latest")

    def start(self) -> None:
        for driver in self.drivers:
            driver.start()

    def close(self) -> None:
        """Close every driver; an error is raised after all are closed."""
        with ExitStack() as stack:
            if self._subscription is not None:
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
        self.gather(now_ns).release()

    def gather(self, now_ns: int) -> Gathered:
        """The newest reading of each source, unless it is too old; the mailbox counts the skipped ones."""
        fresh = np.zeros(len(self.drivers), dtype=bool)
        batch = self._batch
        if batch is not None:
            np.less_equal(now_ns - batch.captured_ns, self._max_age_ns, out=fresh)
            fresh &= batch.is_new
            np.copyto(self._confidence, batch.confidence, where=batch.is_new)
            batch.forget()
            np.copyto(self._captured_ns, batch.captured_ns, where=fresh)
            np.copyto(self._quality, batch.quality, where=fresh)
        leases: dict[int, Lease] = {}
        joined: dict[int, np.ndarray] = {}
        for index in self._leased:
            if index in self._events:
                lease = self._read_events(index, joined)
            else:
                lease = self.drivers[index].read_freshest()
            if lease is not None:
                leases[index] = lease
                meta = lease.meta
                self._captured_ns[index] = meta.stamp_ns
                self._quality[index] = meta.quality
                fresh[index] = True
        if self._subscription is not None:
            self._read_records(self._subscription)
        gathered = Gathered(
            fresh=fresh,
            captured_ns=self._captured_ns.copy(),
            quality=self._quality.copy(),
            confidence=self._confidence.copy(),
            states=[driver.state() for driver in self.drivers],
            leases=leases,
            batch=batch,
            batched=self._batched,
            joined=joined,
        )
        for name in self._latest.watched:
            source = self._index.get(name)
            array = None if source is None else gathered.array(source)
            if array is not None:
                self._latest.put(name, array, int(gathered.captured_ns[source]))
        return gathered

    def _read_events(self, index: int, joined: dict[int, np.ndarray]) -> Lease | None:
        """The newest reading of a source of events, whatever its age. Where there are several, all of them as
        one are in `joined`.
        """
        driver, newest = self.drivers[index], None
        while (lease := driver.read_next()) is not None:
            if newest is not None:
                earlier = joined.get(index, newest.array)
                joined[index] = self._events[index](earlier, lease.array)
                newest.release()
            newest = lease
        return newest

    def _read_records(self, subscription: Subscription) -> None:
        while True:
            batch = subscription.try_pop_many(MAX_RECORDS)
            if len(batch):
                self._take(batch.records.view(SUMMARY))
            if len(batch) < MAX_RECORDS:
                return

    def _take(self, records: np.ndarray) -> None:
        """Of several records of one producer the last one stays: numpy assigns repeated indices in order."""
        index = records["producer"].astype(np.intp)
        self._confidence[index] = records["confidence"]
