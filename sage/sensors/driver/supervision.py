"""How a driver runs one instance of a device: on the loop's thread, or on a thread that it watches.

Invariant: `poll` returns at once. A device that fails raises SensorError out of `start` or `poll`, and
InputError or DataError where its configuration is wrong; after that only `stop` is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sage.errors import DataError, InputError, pass_on
from sage.sensors.contract import Sensor, SensorError, SourceExhausted
from sage.sensors.driver.delivery import Delivery, Outlet
from sage.sensors.driver.ledger import FLOOD_FACTOR, Ledger
from sage.sensors.driver.worker import SensorWorker, close_quietly

#: Opening a device may take this many times as long as reading it before it counts as hung.
OPEN_FACTOR = 5


class SensorHung(SensorError):
    """A call into the device has not returned for longer than `hang_secs`."""


class Ending(Protocol):
    """A thread or a process that is about to end."""

    @property
    def is_alive(self) -> bool: ...

    def join(self, timeout_secs: float) -> bool:
        """Whether it has ended."""
        ...

    def abandon(self) -> None:
        """It does not end: cut it off from the run."""
        ...


class Engine(Protocol):
    """One instance, from start to stop. is_open: it has opened and can be read."""

    @property
    def is_open(self) -> bool: ...

    def start(self) -> None: ...

    def poll(self, now_ns: int) -> None: ...

    def stop(self) -> Ending | None:
        """End it, without waiting. Returns what has not ended yet, if anything."""
        ...


class EngineMaker(Protocol):
    """Makes the engines of a source in another process."""

    def engine(self, ledger: Ledger, outlet: Outlet, *, hang_ns: int) -> Engine:
        """For one instance of the device."""
        ...


class PollLimit:
    """How many readings one poll takes, so that a source that is late cannot block a tick: `least`, or as
    many as the limit on floods admits in the time since the last poll, so that a fast source does not fall
    behind slow ticks.
    """

    def __init__(self, least: int, period_ns: int) -> None:
        self._least = least
        self._period_ns = period_ns
        self._polled_ns: int | None = None

    def at(self, now_ns: int) -> int:
        """Of a poll now; one call a poll."""
        elapsed_ns = 0 if self._polled_ns is None else now_ns - self._polled_ns
        self._polled_ns = now_ns
        return max(self._least, FLOOD_FACTOR * elapsed_ns // self._period_ns)


class InlineEngine:
    """Reads all readings that are due, within `PollLimit`.  max_per_poll: its least.  period_ns: of the
    source.
    """

    def __init__(
        self, obtain: Callable[[], Sensor], delivery: Delivery, *, max_per_poll: int, period_ns: int
    ) -> None:
        self._obtain = obtain
        self._delivery = delivery
        self._limit = PollLimit(max_per_poll, period_ns)
        self._sensor: Sensor | None = None
        self.is_open = False

    def start(self) -> None:
        try:
            self._sensor = self._obtain()
            self._sensor.open()
        except (SensorError, InputError, DataError):
            raise
        except BaseException as error:  # around a plug-in: counted and shown by the driver
            pass_on(error)
            raise SensorError(f"open: {type(error).__name__}: {error}") from error
        self.is_open = True

    def poll(self, now_ns: int) -> None:
        assert self._sensor is not None
        deliver_next, sensor = self._delivery.deliver_next, self._sensor
        try:
            for _ in range(self._limit.at(now_ns)):
                if deliver_next(sensor) is None:
                    return
        except (SourceExhausted, SensorError, InputError, DataError):
            raise
        except BaseException as error:  # as on a thread: the driver counts and shows what stops it
            pass_on(error)
            raise SensorError(f"{type(error).__name__}: {error}") from error

    def stop(self) -> Ending | None:
        self.is_open = False
        self._delivery.discard()
        if self._sensor is not None:
            close_quietly(self._sensor)
        return None


class ThreadEngine:
    """Watches a worker. A call hangs when two polls that are `hang_ns` apart on the run's clock both see
    it.
    """

    def __init__(self, worker: SensorWorker, *, hang_ns: int) -> None:
        self._worker = worker
        self._hang_ns = hang_ns
        self._seen_calls = -1
        self._seen_ns = 0

    @property
    def is_open(self) -> bool:
        return self._worker.is_open

    def start(self) -> None:
        self._worker.start()

    def poll(self, now_ns: int) -> None:
        worker = self._worker
        error = worker.error
        if isinstance(error, SensorError) or (error is not None and worker.is_refused):
            raise error
        if error is not None:
            raise SensorError(f"{type(error).__name__}: {error}") from error
        if worker.is_exhausted:
            raise SourceExhausted("end of the recording")
        num_calls = worker.num_calls
        if num_calls != self._seen_calls or num_calls % 2 == 0:
            self._seen_calls = num_calls
            self._seen_ns = now_ns
        elif now_ns - self._seen_ns > self._hang_ns * (1 if worker.is_open else OPEN_FACTOR):
            worker.abandon()
            raise SensorHung(f"a call has not returned for {(now_ns - self._seen_ns) / 1e9:.1f} s")
        worker.wake()

    def stop(self) -> Ending | None:
        self._worker.stop()
        return self._worker if self._worker.is_alive else None


class Backoff:
    """When to try again: after a pause that doubles with each failure, unless the device ran for longer than
    the pause.
    """

    def __init__(self, *, first_secs: float, max_secs: float) -> None:
        self._first_ns = round(first_secs * 1e9)
        self._max_ns = round(max_secs * 1e9)
        self._pause_ns = 0
        self._opened_ns: int | None = None

    def opened(self, now_ns: int) -> None:
        self._opened_ns = now_ns

    def failed(self, now_ns: int) -> int:
        """The time to try again."""
        ran_ns = -1 if self._opened_ns is None else now_ns - self._opened_ns
        self._opened_ns = None
        has_recovered = self._pause_ns == 0 or ran_ns > self._pause_ns
        self._pause_ns = self._first_ns if has_recovered else min(self._max_ns, 2 * self._pause_ns)
        return now_ns + self._pause_ns
