"""The owner of one sensor: opens it, reads it, restarts it after a fault, and never lets it block the loop.

Invariant: `poll` returns, whatever the device does. After a fault, which is counted and shown, the device is
in quarantine, and then opened again as a new instance.

Three ways to read what has been delivered: `read_block` waits for the next reading, `read_next` takes the
oldest not taken yet, `read_freshest` the newest, unless that is too old. Each returns a Lease: release it, or
use `with`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from sage.errors import DataError, InputError, SageError
from sage.mailbox.clock import Clock
from sage.mailbox.errors import MailboxEmpty
from sage.sensors.config import DriverMode, SensorConfig, SupervisedConfig
from sage.sensors.contract import Reading, Sensor, SensorError, SensorSpec, SourceExhausted
from sage.sensors.driver.batch import ReadingBatch
from sage.sensors.driver.calibration import CalibrationFolder, with_calibration
from sage.sensors.driver.delivery import Delivery, Outlet, ReadingTap
from sage.sensors.driver.ledger import Ledger
from sage.sensors.driver.supervision import (
    Backoff,
    Ending,
    Engine,
    EngineMaker,
    InlineEngine,
    ThreadEngine,
)
from sage.sensors.driver.worker import SensorWorker

if TYPE_CHECKING:
    from sage.mailbox.contract import Focus, Lease, Peripheral

Status = Literal["starting", "running", "quarantined", "disabled", "exhausted", "closed"]

#: Threads of one device that hang, each with a loan, before no further one is started.
MAX_ENDING = 2
#: How long `close` waits for a thread before another thread closes the device, and after.
JOIN_SECS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatistics:
    """Counts since the driver was made, and the last reading delivered (sequence -1 and NaN before the
    first).

    num_readings: delivered.  num_dropped: lost by the device, or no slot was free.  num_late: delivered, but
    older than max_age_secs.  num_duplicate, num_reordered, num_flooded: not delivered.  num_faults:
    times in quarantine.
    num_restarts: times it came back.  last_error: of the last fault, also when it is over.
    health: what lowers the quality of the last reading, "" where nothing does.
    """

    name: str
    status: Status
    num_readings: int
    num_dropped: int
    num_late: int
    num_duplicate: int
    num_reordered: int
    num_flooded: int
    num_faults: int
    num_restarts: int
    last_error: str
    sequence: int
    captured_ns: int
    noise_std: float
    quality: float
    confidence: float
    health: str = ""


class SourceState(NamedTuple):
    """What the loop reads of a driver in every tick; as in DriverStatistics."""

    status: Status
    sequence: int
    num_dropped: int
    num_late: int
    num_duplicate: int
    num_faults: int
    last_error: str
    quality: float
    health: str


class SensorDriver:
    """Drives the sensor that `make` makes, and makes again at each restart. What `make` raises the first time
    is raised here.

    mode: as SensorConfig.driver, which it overrides; an environment's config has none: "auto".
    max_per_poll: readings that one inline poll may deliver at least, see PollLimit.
    isolation: for a sensor in a process of its own; `focus` is then the shared mailbox that it publishes to.
    calibrations: where a sensor's calibration is kept; without it none is restored.
    """

    def __init__(
        self,
        make: Callable[[], Sensor],
        *,
        config: SupervisedConfig,
        peripheral: Peripheral,
        focus: Focus,
        clock: Clock,
        producer: int,
        mode: DriverMode | None = None,
        max_per_poll: int = 32,
        isolation: EngineMaker | None = None,
        calibrations: CalibrationFolder | None = None,
    ) -> None:
        self._make = make
        self._first: Sensor | None = make()
        self._spec = self._first.spec
        self._config = config
        self._clock = clock
        self._focus = focus
        self._outlet = Outlet(peripheral=peripheral, focus=focus, producer=producer)
        self._max_per_poll = max_per_poll
        self._isolation = isolation
        self._calibrations = calibrations
        chosen = mode or (config.driver if isinstance(config, SensorConfig) else "auto")
        self.is_inline = isolation is None and _is_inline(self._spec, chosen)
        self._max_age_ns = round(config.max_age_secs * 1e9)
        self._hang_ns = round(config.hang_secs * 1e9)
        self._ledger = Ledger(self._spec, max_age_ns=self._max_age_ns, stale_ns=self._hang_ns)
        self._backoff = Backoff(first_secs=config.backoff_secs, max_secs=config.max_backoff_secs)
        self._engine: Engine | None = None
        self._ending: list[Ending] = []
        self._status: Status = "closed"
        self._has_opened_once = False
        self._retry_ns = 0
        self._num_faults = 0
        self._num_restarts = 0
        self._num_reported = 0
        self._last_error = ""

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    @property
    def max_age_ns(self) -> int:
        """Of a reading that `read_freshest` returns."""
        return self._max_age_ns

    @property
    def trust(self) -> float:
        """The loop's trust in the source, 0..1; written into its records."""
        return self._ledger.trust

    @trust.setter
    def trust(self, value: float) -> None:
        self._ledger.trust = value

    def attach_tap(self, tap: ReadingTap) -> None:
        """From the next start of the device on. A tap gets no readings of a sensor in a process of its own,
        only its faults.
        """
        self._outlet = dataclasses.replace(self._outlet, taps=(*self._outlet.taps, tap))

    def batch_readings(self, batch: ReadingBatch | None) -> bool:
        """From the next start of the device on, add an inline source's small readings to `batch`, in place of
        the focus mailbox; the caller flushes it after each round of polls. None ends that.

        Whether it takes effect: not for other sources, nor for a batch of another mailbox.
        """
        if batch is not None and not (
            self.is_inline
            and batch.peripheral is self._outlet.peripheral
            and batch.holds(self._outlet.producer)
        ):
            return False
        self._outlet = dataclasses.replace(self._outlet, batch=batch)
        return True

    def renew(self) -> None:
        """Drop the first instance, so that `start` makes a new one with the context of now."""
        if self._status == "closed":
            self._first = None

    def start(self) -> None:
        """Open the device. One that does not open is in quarantine, as it may be plugged in later.

        Raises InputError where its configuration is the reason.
        """
        if self._status == "closed":
            self._begin(self._clock.now_ns())

    def poll(self, now_ns: int) -> int:
        """Deliver what is due and restart what failed; returns the readings delivered since the last poll.

        A device's fault is not raised. InputError when a device on a thread or in a process of its own did
        not open the first time because of its configuration.
        """
        if self._status == "quarantined":
            if now_ns >= self._retry_ns:
                self._begin(now_ns)
        elif self._engine is not None:
            try:
                self._engine.poll(now_ns)
            except SourceExhausted:
                for tap in self._outlet.taps:
                    tap.note_end(now_ns)
                self._end("exhausted")
            except (SensorError, InputError, DataError) as error:
                self._failed(error, now_ns)
            else:
                if self._status == "starting" and self._engine.is_open:
                    self._has_opened(now_ns)
        num_new = self._ledger.num_readings - self._num_reported
        self._num_reported += num_new
        return num_new

    def read_block(self, timeout_secs: float) -> Lease:
        """The next reading in order, waiting for it; MailboxEmpty when none came in time.

        Polls an inline source and waits on the clock; waits for a source on a thread in real time.
        """
        if not self.is_inline:
            return self._focus.receive(timeout_secs=timeout_secs, newest=False)
        now_ns = self._clock.now_ns()
        deadline_ns = now_ns + round(timeout_secs * 1e9)
        while True:
            self.poll(now_ns)
            lease = self._focus.try_receive(newest=False)
            if lease is not None:
                return lease
            if now_ns >= deadline_ns:
                raise MailboxEmpty(f"{self._spec.name}: no reading within {timeout_secs:g} s")
            self._clock.wait_until(min(deadline_ns, now_ns + self._spec.period_ns))
            now_ns = self._clock.now_ns()

    def read_next(self) -> Lease | None:
        """The oldest reading delivered and not taken yet, None when there is none. Never waits, never
        polls.
        """
        return self._focus.try_receive(newest=False)

    def read_freshest(self, max_age_ns: int | None = None) -> Lease | None:
        """The newest reading delivered; older ones are skipped. None when there is none, or it is older than
        `max_age_ns`.

        max_age_ns: the config's max_age_secs when None. Never waits, never polls.
        """
        lease = self._focus.try_receive(newest=True)
        if lease is None:
            return None
        limit_ns = self._max_age_ns if max_age_ns is None else max_age_ns
        if self._clock.now_ns() - lease.meta.stamp_ns <= limit_ns:
            return lease
        lease.release()
        return None

    def reading_of(self, lease: Lease) -> Reading | None:
        """What the device claimed of a reading that was just taken; None as for `Ledger.claims_of`."""
        return self._ledger.claims_of(lease.meta.sequence)

    def statistics(self) -> DriverStatistics:
        """A snapshot."""
        ledger = self._ledger
        last = ledger.last
        return DriverStatistics(
            name=self._spec.name,
            status=self._status,
            num_readings=ledger.num_readings,
            num_dropped=ledger.num_dropped,
            num_late=ledger.num_late,
            num_duplicate=ledger.num_duplicate,
            num_reordered=ledger.num_reordered,
            num_flooded=ledger.num_flooded,
            num_faults=self._num_faults,
            num_restarts=self._num_restarts,
            last_error=self._last_error,
            sequence=-1 if last is None else last.sequence,
            captured_ns=-1 if last is None else last.captured_ns,
            noise_std=math.nan if last is None else last.noise_std,
            quality=math.nan if last is None else last.quality,
            confidence=math.nan if last is None else last.confidence,
            health="" if last is None else last.health,
        )

    def state(self) -> SourceState:
        """A snapshot of a part of `statistics`, in a third of the time."""
        ledger = self._ledger
        last = ledger.last
        return SourceState(
            self._status,
            -1 if last is None else last.sequence,
            ledger.num_dropped,
            ledger.num_late,
            ledger.num_duplicate,
            self._num_faults,
            self._last_error,
            math.nan if last is None else last.quality,
            "" if last is None else last.health,
        )

    def disable(self) -> bool:
        """Give the device back until `enable`. Whether that changed anything."""
        if self._status not in ("starting", "running", "quarantined"):
            return False
        self._end("disabled")
        return True

    def enable(self) -> bool:
        """Open the device again, at the next poll. Whether it was disabled."""
        if self._status != "disabled":
            return False
        self._status = "quarantined"
        self._retry_ns = self._clock.now_ns()
        return True

    def close(self) -> None:
        """Close the device; safe to call twice. What was delivered can still be read."""
        self._end("closed")
        for worker in self._ending:
            if not worker.join(JOIN_SECS):
                worker.abandon()
                worker.join(JOIN_SECS)

    def _begin(self, now_ns: int) -> None:
        self._ending = [worker for worker in self._ending if worker.is_alive]
        if len(self._ending) >= MAX_ENDING:
            self._retry_ns = self._backoff.failed(now_ns)
            return
        self._ledger.begin_device()
        self._status = "starting"
        self._engine = self._new_engine()
        try:
            self._engine.start()
        except (SensorError, InputError, DataError) as error:
            self._failed(error, now_ns)
            return
        if self._engine.is_open:
            self._has_opened(now_ns)

    def _new_engine(self) -> Engine:
        if self._isolation is not None:
            return self._isolation.engine(self._ledger, self._outlet, hang_ns=self._hang_ns)
        delivery = Delivery(self._spec, self._ledger, self._outlet, self._clock)
        if self.is_inline:
            period_ns, most = self._spec.period_ns, self._max_per_poll
            return InlineEngine(self._obtain, delivery, max_per_poll=most, period_ns=period_ns)
        worker = SensorWorker(self._obtain, delivery, name=self._spec.name, period_ns=self._spec.period_ns)
        return ThreadEngine(worker, hang_ns=self._hang_ns)

    def _obtain(self) -> Sensor:
        """The first instance, then new ones, which must have the same spec."""
        first, self._first = self._first, None
        sensor = first or self._make()
        if sensor.spec != self._spec:
            raise SensorError(
                f"{self._spec.name}: opened again, it has another spec: {sensor.spec.tensor}, it was"
                f" {self._spec.tensor}"
            )
        return with_calibration(sensor, self._calibrations)

    def _has_opened(self, now_ns: int) -> None:
        self._status = "running"
        self._has_opened_once = True
        self._backoff.opened(now_ns)
        if self._num_faults:
            self._num_restarts += 1

    def _failed(self, error: SageError, now_ns: int) -> None:
        """Quarantine; InputError instead for a configuration that has never opened its device."""
        if isinstance(error, (InputError, DataError)) and not self._has_opened_once:
            self._end("closed")
            raise InputError(f"{self._spec.name}: {error}") from error
        for tap in self._outlet.taps:
            tap.note_fault(str(error), now_ns)
        self._end("quarantined")
        self._num_faults += 1
        self._last_error = str(error)
        self._retry_ns = self._backoff.failed(now_ns)

    def _end(self, status: Status) -> None:
        engine, self._engine = self._engine, None
        self._status = status
        worker = None if engine is None else engine.stop()
        if worker is not None:
            self._ending.append(worker)


def _is_inline(spec: SensorSpec, mode: DriverMode) -> bool:
    if mode == "inline" and not spec.is_bounded:
        raise InputError(
            f"{spec.name}: driver is 'inline', but its reads may wait for the device: set 'thread' or 'auto'"
        )
    return mode == "inline" or (mode == "auto" and spec.is_bounded)
