"""A thread that owns one device from open to close, so that a device that hangs does not block the loop.

Invariant: the sensor is opened, read and closed on this thread alone, unless it is abandoned: then a second
thread closes it, which is the only way to free one that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sage.errors import DataError, InputError, pass_on
from sage.sensors.contract import Sensor, SourceExhausted
from sage.sensors.driver.delivery import Delivery
from sage.sensors.driver.ledger import Verdict

#: The longest and the shortest pause after a read that returned nothing.
MAX_PAUSE_SECS = 0.05
MIN_PAUSE_SECS = 0.0005


class SensorWorker:
    """Reads until `stop`, or until the device fails or ends. Its owner reads the outcome from its attributes.

    error: why it failed, None while it has not.  num_calls: calls into the plug-in, begun and ended; odd
    during one.
    """

    def __init__(
        self, obtain: Callable[[], Sensor], delivery: Delivery, *, name: str, period_ns: int
    ) -> None:
        self.error: BaseException | None = None
        self.is_exhausted = False
        self.is_open = False
        self.is_abandoned = False
        self.num_calls = 0
        self._obtain = obtain
        self._delivery = delivery
        self._pause_secs = max(MIN_PAUSE_SECS, min(MAX_PAUSE_SECS, period_ns * 1e-9 / 4))
        self._sensor: Sensor | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        # A daemon: a driver stuck in the kernel must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"sensor-{name}", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_refused(self) -> bool:
        """It did not open because of its configuration, not of the device."""
        return not self.is_open and isinstance(self.error, (InputError, DataError))

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """The clock moved: read the device again."""
        self._wake.set()

    def stop(self) -> None:
        """End after the read in progress."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_secs: float) -> bool:
        """Whether it has ended."""
        self._thread.join(timeout_secs)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """It hangs: publish nothing more, and close the device from another thread, which may free it.
        Once.
        """
        if self.is_abandoned:
            return
        self.is_abandoned = True
        self._delivery.abandon()
        self.stop()
        sensor = self._sensor
        if sensor is not None:
            threading.Thread(
                target=close_quietly, args=(sensor,), name=f"{self._thread.name}-closer", daemon=True
            ).start()

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stop.is_set():
                self.num_calls += 1
                verdict = self._delivery.deliver_next(self._sensor_opened())
                self.num_calls += 1
                if verdict is not Verdict.PASS:
                    self._wake.wait(self._pause_secs)
                    self._wake.clear()
        except SourceExhausted:
            self.is_exhausted = True
        except BaseException as error:  # the top of a worker: counted and shown by the driver
            pass_on(error)
            self.error = error
        finally:
            self._end()

    def _begin(self) -> None:
        self.num_calls += 1
        self._sensor = self._obtain()
        self._sensor.open()
        self.num_calls += 1
        self.is_open = True

    def _sensor_opened(self) -> Sensor:
        assert self._sensor is not None
        return self._sensor

    def _end(self) -> None:
        self._delivery.discard()
        if self._sensor is not None:
            error = close_quietly(self._sensor)
            self.error = self.error or error


def close_quietly(sensor: Sensor) -> BaseException | None:
    """Around a plug-in: returns what its close raised."""
    try:
        sensor.close()
    except BaseException as error:
        pass_on(error)
        return error
    return None
