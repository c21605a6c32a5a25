"""The sensor contract as checks, for this package and for plug-ins (`sage sensors check KIND`).

Invariant: `check_sensor` never raises and never hangs: a check that fails, raises or does not return is a
result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import threading
from collections.abc import Callable
from numbers import Integral
from typing import Any, get_args

import numpy as np

from sage.errors import pass_on
from sage.mailbox.clock import Clock
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Modality, Sensor, SensorError, SensorSpec
from sage.sensors.driver.calibration import CalibratedSensor, checked
from sage.sensors.testing.bench import (
    Bench,
    CheckFailed,
    CheckResult,
    MakeSensor,
    contract_is_this_one,
    readings,
    require,
    run_check,
)
from sage.sensors.testing.conformance_driver import check_three_ways_to_read
from sage.sensors.testing.plugin_call import describe_error
from sage.sensors.testing.reading_checks import (
    a_bounded_read_returns,
    memory_is_lent_for_one_call,
    rate_is_as_claimed,
    readings_are_whole,
    stamps_and_counts_only_grow,
)

#: Times that a sensor is opened and closed to see what it leaves behind, after a first time.
NUM_CYCLES = 3
#: Readings after which a calibration is asked for.
LEARNING_READINGS = 16
#: Real time that a thread has to end after close.
THREAD_END_SECS = 1.0


def check_sensor(
    make: MakeSensor, *, clock: Clock, num_readings: int = 4, timeout_secs: float = 20.0
) -> tuple[CheckResult, ...]:
    """Run all checks, each on new sensors from `make`.

    clock: the one in the sensors' SensorContext; a ManualClock is advanced as needed.
    """
    bench = Bench(make=make, clock=clock, num_readings=num_readings, timeout_secs=timeout_secs)
    return tuple(
        run_check(name, functools.partial(check, bench), timeout_secs=timeout_secs)
        for name, check in CHECKS.items()
    )


def spec_is_known_before_open(bench: Bench) -> str:
    spec = bench.make().spec
    require(isinstance(spec, SensorSpec), f"spec is a {type(spec).__name__}: give a SensorSpec")
    require(
        spec.modality in get_args(Modality),
        f"modality is {spec.modality!r}: give one of {', '.join(get_args(Modality))}; what it senses is in"
        " observes",
    )
    require(
        isinstance(spec.period_ns, Integral),
        f"period_ns is {spec.period_ns!r}: give a whole number, round(...)",
    )
    require(
        isinstance(spec.tensor.shape, tuple), f"tensor.shape is {spec.tensor.shape}: give a tuple of sizes"
    )
    require(
        spec.tensor.device == "cpu",
        f"tensor.device is {spec.tensor.device}: give 'cpu', a sensor writes into host memory",
    )
    require(spec.tensor.num_bytes > 0, f"tensor.shape is {spec.tensor.shape}: give at least one element")
    require(
        len(spec.observes) == 2 and all(isinstance(each, str) and each for each in spec.observes),
        f"observes is {spec.observes}: give (quantity, unit), for example ('speed', 'm/s'), unit '1' for a"
        " number without one",
    )
    require(
        len(set(spec.channels)) == len(spec.channels),
        f"two of the channels {', '.join(spec.channels)} have one name: give each its own",
    )
    return (
        f"{spec.name}: {spec.tensor.shape} {spec.tensor.dtype} every {spec.period_ns / 1e9:g} s,"
        f" {' in '.join(spec.observes)}"
    )


def spec_never_changes(bench: Bench) -> str:
    sensor, other = bench.make(), bench.make()
    before = sensor.spec
    require(
        other.spec == before,
        "a second instance has another spec: derive it from the configuration alone",
    )
    sensor.open()
    try:
        after = sensor.spec
        require(
            after == before,
            f"open() changed the spec, {before.tensor} to {after.tensor}: know it before, from the"
            " configuration",
        )
    finally:
        sensor.close()
    return "the same for two instances, closed and open"


def config_is_a_sensor_config(bench: Bench) -> str:
    kind = type(bench.make())
    config = getattr(kind, "Config", None)
    require(
        isinstance(config, type) and issubclass(config, SensorConfig),
        f"{kind.__name__}.Config: give a subclass of SensorConfig",
    )
    return f"{kind.__name__}.Config"


def closing_is_safe(bench: Bench) -> str:
    never_opened = bench.make()
    never_opened.close()
    sensor = bench.make()
    sensor.open()
    sensor.close()
    sensor.close()
    return "before open, and twice"


def closing_gives_everything_back(bench: Bench) -> str:
    """Threads and descriptors: each cycle of open, read and close leaves none."""
    kept = [_cycle(bench)]  # referenced, so that only close() can give back
    before = _held()
    kept += [_cycle(bench) for _ in range(NUM_CYCLES)]
    threads, files = _held()
    new_threads = [thread for thread in threads - before[0] if not _has_ended(thread)]
    names = ", ".join(sorted({thread.name for thread in new_threads}))
    require(
        len(new_threads) < NUM_CYCLES,
        f"{NUM_CYCLES} times open and close leave {len(new_threads)} threads behind ({names}): end and join"
        " in close() what open() starts",
    )
    num_files = len(files) - len(before[1])
    new_files = sorted({files[number] for number in files.keys() - before[1].keys()})
    require(
        num_files < NUM_CYCLES,
        f"{NUM_CYCLES} times open and close leave {num_files} descriptors open ({', '.join(new_files[:3])}):"
        " close in close() what open() opens",
    )
    return f"no thread and no descriptor left after {NUM_CYCLES} times"


def _cycle(bench: Bench) -> Sensor:
    sensor = bench.make()
    sensor.open()
    try:
        next(readings(sensor, bench))
    finally:
        sensor.close()
    return sensor


def _held() -> tuple[set[threading.Thread], dict[str, str]]:
    """Threads of the process, and its descriptors by number where /proc shows them."""
    files: dict[str, str] = {}
    folder = "/proc/self/fd"
    if os.path.isdir(folder):
        for number in os.listdir(folder):
            with contextlib.suppress(OSError):  # the listing's own
                files[number] = os.readlink(f"{folder}/{number}")
    return set(threading.enumerate()), files


def _has_ended(thread: threading.Thread) -> bool:
    thread.join(THREAD_END_SECS)
    return not thread.is_alive()


def a_calibration_comes_back(bench: Bench) -> str:
    """What one instance keeps, another one accepts, with the same names."""
    sensor = bench.make()
    if not isinstance(sensor, CalibratedSensor):
        return "it has none"
    sensor.open()
    try:
        num_seen = sum(
            1 for _ in readings(sensor, dataclasses.replace(bench, num_readings=LEARNING_READINGS))
        )
        try:
            kept = checked(sensor.calibration(), sensor.spec.name)
        except SensorError as error:
            raise CheckFailed(str(error)) from error
    finally:
        sensor.close()
    if not kept:
        return f"empty after {num_seen} readings"
    other: Any = bench.make()
    other.restore(json.loads(json.dumps(kept)))
    other.open()
    try:
        next(readings(other, bench))
        again = other.calibration()
    finally:
        other.close()
    require(
        set(again) == set(kept),
        f"calibration() has {', '.join(kept)}, and after restore() {', '.join(again)}: give the same names",
    )
    return ", ".join(kept)


def reading_while_closed_raises(bench: Bench) -> str:
    sensor = bench.make()
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    remedy = "raise SensorError while the sensor is not open"
    require(_raises_sensor_error(sensor, out), f"read_into before open() did not raise SensorError: {remedy}")
    sensor.open()
    sensor.close()
    require(_raises_sensor_error(sensor, out), f"read_into after close() did not raise SensorError: {remedy}")
    return "SensorError before open and after close"


def it_opens_again_after_close(bench: Bench) -> str:
    sensor = bench.make()
    sensor.open()
    sensor.close()
    try:
        sensor.open()
    except BaseException as error:
        pass_on(error)
        raise CheckFailed(
            f"it does not open again after close(): {describe_error(error)}; keep the sensor as it was before"
            " the first open()"
        ) from error
    try:
        num_seen = sum(1 for _ in readings(sensor, bench))
    finally:
        sensor.close()
    return f"{num_seen} readings"


def three_ways_to_read(bench: Bench) -> str:
    problem = check_three_ways_to_read(bench.make, clock=bench.clock)
    require(problem is None, f"{problem}: see the other checks")
    return "next, freshest, block"


#: In this order, by name.
CHECKS: dict[str, Callable[[Bench], str]] = {
    check.__name__: check
    for check in (
        spec_is_known_before_open,
        spec_never_changes,
        config_is_a_sensor_config,
        contract_is_this_one,
        readings_are_whole,
        stamps_and_counts_only_grow,
        memory_is_lent_for_one_call,
        rate_is_as_claimed,
        a_bounded_read_returns,
        closing_is_safe,
        closing_gives_everything_back,
        reading_while_closed_raises,
        it_opens_again_after_close,
        a_calibration_comes_back,
        three_ways_to_read,
    )
}


def _raises_sensor_error(sensor: Sensor, out: np.ndarray) -> bool:
    try:
        sensor.read_into(out)
    except SensorError:
        return True
    return False
