"""`sage bridge serve`: read the sensors of a configuration and send every reading to other hosts; also the
records of shared mailboxes.

Invariant: the sensors' drivers are those of a run, so a device that fails is in quarantine and comes back; a
receiver that is slow or gone delays none of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from sage.app.config.sage_config import SageConfig
from sage.app.session.build import RING_CAPACITY, build_drivers
from sage.app.session.making import SensorWorld
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import RealClock
from sage.mailbox.contract import Lease
from sage.mailbox.errors import MailboxError
from sage.mailbox.hub import Hub
from sage.mailbox.meta import FocusMeta
from sage.sensors.contract import Reading, SensorContext, SensorError
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.remote.sender import MAX_PICTURE_BYTES, HostSender
from sage.sensors.remote.wire import check_name

log = structlog.get_logger("sage.app")
#: Between two looks at all sensors, at most; a source of a higher rate is looked at twice a period.
MAX_POLL_SECS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeOptions:
    """host: this host's name in keys.  listen: zenoh endpoints.  zenoh_config: a JSON5 file of zenoh.
    mailboxes: names of shared peripheral mailboxes.
    """

    host: str
    listen: tuple[str, ...]
    zenoh_config: Path | None = None
    max_picture_bytes: int = MAX_PICTURE_BYTES
    mailboxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTotals:
    """What was sent of one source. num_faults: of its device."""

    name: str
    num_sent: int
    num_bytes: int
    num_faults: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxTotals:
    """What was sent of one mailbox. is_closed: by the process that made it."""

    name: str
    num_sent: int
    num_bytes: int
    is_closed: bool


class Bridge:
    """The sensors of a configuration and their senders. `run` sends until `stop` or the time limit.

    mailbox_totals: after `run`.
    """

    def __init__(self, config: SageConfig, options: BridgeOptions) -> None:
        clock = RealClock()
        self._clock = clock
        self._hub = Hub(clock)
        self._stopped = threading.Event()
        world = SensorWorld(SensorContext(clock=clock, epoch_ns=clock.now_ns(), base_dir=Path.cwd()))
        records = self._hub.peripheral("records", capacity=RING_CAPACITY)
        check_name(options.host)
        self._drivers, self.missing = build_drivers(
            config.enabled_sensors, world, self._hub, records, is_manual=False
        )
        self._early: dict[str, Lease] = {}
        self.mailbox_totals: tuple[MailboxTotals, ...] = ()
        if not (self._drivers or options.mailboxes):
            raise UserError("sensors: none is enabled or available: enable at least one, e.g. {kind: host}")
        try:
            self._sender = HostSender(
                options.host,
                [driver.spec for driver in self._drivers],
                clock,
                listen=options.listen,
                settings=options.zenoh_config,
                max_picture_bytes=options.max_picture_bytes,
                mailboxes=options.mailboxes,
            )
        except (SensorError, MailboxError) as error:
            self._hub.close()
            option = "--mailbox" if isinstance(error, MailboxError) else "--listen"
            raise UserError(f"{option} {error}") from None
        world.begin(clock.now_ns())

    def run(self, seconds: float | None = None) -> tuple[SourceTotals, ...]:
        """Send until `stop` or for `seconds`; returns the totals."""
        period_secs = min([MAX_POLL_SECS, *(driver.spec.period_ns / 2e9 for driver in self._drivers)])
        deadline_ns = None if seconds is None else self._clock.now_ns() + round(seconds * 1e9)
        try:
            for driver in self._drivers:
                driver.renew()
                driver.start()
            while not self._stopped.wait(period_secs):
                if deadline_ns is not None and self._clock.now_ns() >= deadline_ns:
                    break
                now_ns = self._clock.now_ns()
                for driver in self._drivers:
                    driver.poll(now_ns)
                    self._send(driver)
                self._sender.forward()
        finally:
            totals = self._totals()
            self.mailbox_totals = tuple(
                MailboxTotals(
                    name=name, num_sent=each.num_sent, num_bytes=each.num_bytes, is_closed=each.is_closed
                )
                for name, each in self._sender.mailboxes.items()
            )
            self._close()
        return totals

    def stop(self) -> None:
        """End `run`. Safe in a signal handler and on any thread."""
        self._stopped.set()

    def _send(self, driver: SensorDriver) -> None:
        """Send what a driver has delivered. A process of its own publishes a reading before its claims are
        taken over: such a reading waits for one round.
        """
        source, name = self._sender.sources[driver.spec.name], driver.spec.name
        early = self._early.pop(name, None)
        if early is not None:
            with early:
                source.send(early.array, driver.reading_of(early) or _without_claims(early.meta))
        while (lease := driver.read_next()) is not None:
            reading = driver.reading_of(lease)
            if reading is None:
                self._early[name] = lease
                return
            with lease:
                source.send(lease.array, reading)

    def _totals(self) -> tuple[SourceTotals, ...]:
        found = []
        for driver in self._drivers:
            source, statistics = self._sender.sources[driver.spec.name], driver.statistics()
            found.append(
                SourceTotals(
                    name=driver.spec.name,
                    num_sent=source.num_sent,
                    num_bytes=source.num_bytes,
                    num_faults=statistics.num_faults,
                    status=statistics.status,
                )
            )
        return tuple(found)

    def _close(self) -> None:
        for lease in self._early.values():
            lease.release()
        for driver in self._drivers:
            driver.close()
        self._sender.close()
        self._hub.close()


def _without_claims(meta: FocusMeta) -> Reading:
    """Of a reading whose record was lost on its way from the sensor's process."""
    return Reading(
        captured_ns=meta.stamp_ns,
        received_ns=meta.stamp_ns,
        sequence=meta.sequence,
        quality=meta.quality,
    )
