"""The part of the conformance kit that reads through a driver and mailboxes, as the loop does.

Invariant: the mailboxes and the driver are made here and closed at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sage.mailbox.clock import Clock
from sage.mailbox.contract import Lease
from sage.mailbox.errors import MailboxEmpty
from sage.mailbox.local.focus import FocusMailbox
from sage.mailbox.local.peripheral import PeripheralMailbox
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Sensor
from sage.sensors.driver.sensor_driver import SensorDriver

#: How often a read is tried before the check fails; on a thread, with a pause of real time between tries.
MAX_TRIES = 100
MAX_THREAD_TRIES = 2000
PAUSE_SECS = 0.005


def check_three_ways_to_read(make: Callable[[], Sensor], *, clock: Clock) -> str | None:
    """What is wrong, or None."""
    spec = make().spec
    peripheral = PeripheralMailbox("check", clock=clock, capacity=64)
    focus = FocusMailbox(spec.name, clock=clock, slots=8, slot_bytes=spec.tensor.num_bytes)
    config = SensorConfig(kind="check", hang_secs=60.0, max_age_secs=3600.0)
    driver = SensorDriver(make, config=config, peripheral=peripheral, focus=focus, clock=clock, producer=1)
    driver.start()
    try:
        return _read_in_three_ways(driver, clock)
    finally:
        driver.close()
        focus.close()
        peripheral.close()


def _read_in_three_ways(driver: SensorDriver, clock: Clock) -> str | None:
    tensor = driver.spec.tensor
    last = -1
    for name, read in (
        ("read_block", lambda: _blocking(driver)),
        ("read_next", driver.read_next),
        ("read_freshest", driver.read_freshest),
    ):
        lease = _try_until_it_comes(read, driver, clock)
        statistics = driver.statistics()
        if lease is None:
            if statistics.status == "exhausted" and last >= 0:
                return None  # the recording has only a reading or two
            return f"{name}: no reading: {statistics.status}, last error: {statistics.last_error or 'none'}"
        with lease:
            if lease.array.shape != tensor.shape or lease.array.dtype.name != tensor.dtype:
                return f"{name} gave {lease.array.shape} {lease.array.dtype}"
            if lease.meta.sequence <= last:
                return f"{name} gave reading {lease.meta.sequence} after {last}"
            last = lease.meta.sequence
    return None


def _blocking(driver: SensorDriver) -> Lease | None:
    try:
        return driver.read_block(PAUSE_SECS)
    except MailboxEmpty:
        return None


def _try_until_it_comes(read: Callable[[], Lease | None], driver: SensorDriver, clock: Clock) -> Lease | None:
    pause = threading.Event()  # never set: a thread needs real time, also with a manual clock
    for _ in range(MAX_TRIES if driver.is_inline else MAX_THREAD_TRIES):
        driver.poll(clock.now_ns())
        lease = read()
        if lease is not None or driver.statistics().status == "exhausted":
            return lease
        if not driver.is_inline:
            pause.wait(PAUSE_SECS)
        clock.wait_until(clock.now_ns() + driver.spec.period_ns // 2 + 1)
    return None
