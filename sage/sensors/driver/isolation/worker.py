"""The process of one isolated sensor: `python -m sage.sensors.driver.isolation.worker`, a plan on its
standard input.

Invariant: it ends when the loop stops it or has ended, or when its device ends or fails. The device is read
on a thread as it would be in the loop's own process; the main thread watches it, and reports to the status
block. What the device's code writes to stderr goes to the loop.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from sage.errors import DataError, InputError, SageError
from sage.mailbox.clock import RealClock
from sage.mailbox.shared.focus.mailbox import SharedFocus
from sage.mailbox.shared.memory.identity import is_alive
from sage.mailbox.shared.ring.mapping import SharedPeripheral
from sage.sensors.contract import Sensor, SensorContext, SensorError
from sage.sensors.driver.calibration import CalibrationFolder, with_calibration
from sage.sensors.driver.delivery import Delivery, Outlet
from sage.sensors.driver.isolation.plan import IsolationPlan
from sage.sensors.driver.isolation.status import EXHAUSTED, FAILED, OPEN, REFUSED, Counts, SensorStatus
from sage.sensors.driver.ledger import Ledger
from sage.sensors.driver.worker import SensorWorker

WATCH_SECS = 0.02
#: How long a read that was under way when the end came may take.
LAST_READ_SECS = 0.5
_PR_SET_PDEATHSIG = 1


class IsolatedSensor:
    """One device, from open to close. `watch` returns when it has ended."""

    def __init__(self, plan: IsolationPlan, status: SensorStatus) -> None:
        self._plan = plan
        self._status = status
        self._clock = RealClock()
        kind = plan.resolve()
        self._config = kind.Config.model_validate(plan.config)
        self._context = SensorContext(clock=self._clock, epoch_ns=plan.epoch_ns, base_dir=plan.directory)
        self._kind = kind
        self._first: Sensor | None = kind(self._config, self._context)
        spec = self._first.spec
        if repr(spec) != plan.spec:  # the loop reads what it laid out for when the run was built
            raise SensorError(f"{spec.name}: opened again, it has another spec: {spec}, it was {plan.spec}")
        config = self._config
        self._ledger = Ledger(
            spec,
            max_age_ns=round(config.max_age_secs * 1e9),
            stale_ns=round(config.hang_secs * 1e9),
            after_sequence=plan.after_sequence,
        )
        self._records = SharedPeripheral.attach(plan.records, clock=self._clock)
        self._focus = SharedFocus.attach(plan.focus, clock=self._clock, engine="plain")
        outlet = Outlet(peripheral=self._records, focus=self._focus, producer=plan.producer)
        delivery = Delivery(spec, self._ledger, outlet, self._clock)
        self._worker = SensorWorker(self._obtain, delivery, name=spec.name, period_ns=spec.period_ns)

    def watch(self) -> None:
        worker, status = self._worker, self._status
        worker.start()
        while worker.is_alive and not status.must_stop and is_alive(self._plan.parent):
            self._report()
            worker.join(WATCH_SECS)
        worker.stop()
        worker.join(LAST_READ_SECS)
        if worker.error is not None:
            status.fail(_described(worker.error), REFUSED if worker.is_refused else FAILED)
            return
        self._report()
        if worker.is_exhausted:
            status.state = EXHAUSTED

    def close(self) -> None:
        """What it published stays for the loop to take."""
        self._records.close()
        self._focus.close()

    def _obtain(self) -> Sensor:
        first, self._first = self._first, None
        assert first is not None, "a process opens its device once"
        calibrations = self._plan.calibrations
        return with_calibration(first, CalibrationFolder(Path(calibrations)) if calibrations else None)

    def _report(self) -> None:
        ledger, status = self._ledger, self._status
        ledger.trust = status.trust
        status.num_calls = self._worker.num_calls
        status.counts = Counts(
            dropped=ledger.num_dropped,
            late=ledger.num_late,
            duplicate=ledger.num_duplicate,
            reordered=ledger.num_reordered,
            flooded=ledger.num_flooded,
        )
        status.health = "" if ledger.last is None else ledger.last.health
        if self._worker.is_open:
            status.state = OPEN


def _described(error: BaseException) -> str:
    return str(error) if isinstance(error, SageError) else f"{type(error).__name__}: {error}"


def main() -> None:
    # Ctrl-C and a closing terminal end the loop, which ends this process; if the loop is killed, the kernel
    # does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    plan = IsolationPlan.from_json(sys.stdin.read())
    status = SensorStatus.attach(plan.status)
    try:
        sensor = IsolatedSensor(plan, status)
        sensor.watch()
        sensor.close()
    except BaseException as error:  # the top of a process: reported to the loop, which counts and shows it
        is_refused = isinstance(error, (InputError, DataError))  # the configuration is wrong, not the device
        status.fail(_described(error), REFUSED if is_refused else FAILED)
    # A thread stuck in a device must not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
