"""The sensor contract as checks, for this package and for plug-ins (`sage sensors check KIND`).

Invariant: `check_sensor` never raises and never hangs: a check that fails, raises or does not return is a
result.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sage.errors import SageError
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import ITEM_BYTES
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, Sensor, SensorError, SensorSpec, SourceExhausted
from sage.sensors.testing.conformance_driver import check_three_ways_to_read

MakeSensor = Callable[[], Sensor]

#: Bytes that fill the memory before a read, in turn: elements that a sensor never writes keep them.
_SENTINELS = (0xA5, 0x5A, 0x3C, 0xC3)


class CheckFailed(SageError):
    """The device breaks its contract. The message has which part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check. detail: what was seen, or why it failed."""

    name: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a check uses. timeout_secs: of real time, for one check."""

    make: MakeSensor
    clock: Clock
    num_readings: int
    timeout_secs: float


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
        spec.tensor.device == "cpu",
        f"tensor.device is {spec.tensor.device}: a sensor writes into host memory",
    )
    require(spec.tensor.num_bytes > 0, f"tensor.shape is {spec.tensor.shape}: give at least one element")
    np.dtype(spec.tensor.dtype)
    require(
        len(spec.observes) == 2 and all(spec.observes), f"observes is {spec.observes}: give (quantity, unit)"
    )
    require(len(set(spec.channels)) == len(spec.channels), "two channels have one name")
    return (
        f"{spec.name}: {spec.tensor.shape} {spec.tensor.dtype} every {spec.period_ns / 1e9:g} s,"
        f" {' in '.join(spec.observes)}"
    )


def spec_never_changes(bench: Bench) -> str:
    sensor, other = bench.make(), bench.make()
    before = sensor.spec
    require(other.spec == before, "a second instance has another spec")
    sensor.open()
    try:
        require(sensor.spec == before, "open() changed the spec")
    finally:
        sensor.close()
    return "the same for two instances, closed and open"


def config_is_a_sensor_config(bench: Bench) -> str:
    kind = type(bench.make())
    config = getattr(kind, "Config", None)
    require(
        isinstance(config, type) and issubclass(config, SensorConfig),
        f"{kind.__name__}.Config: give a SensorConfig",
    )
    return f"{kind.__name__}.Config"


def readings_are_whole(bench: Bench) -> str:
    """Every element is written and finite; shape and dtype do not change."""
    sensor = bench.make()
    tensor = sensor.spec.tensor
    num_seen = 0
    is_untouched = np.ones(tensor.num_elements, dtype=bool)
    sensor.open()
    try:
        for out, _ in _readings(sensor, bench):
            require(
                out.shape == tensor.shape and out.dtype == np.dtype(tensor.dtype),
                "read_into changed the shape or dtype of `out`",
            )
            require(out.dtype.kind != "f" or bool(np.isfinite(out).all()), "a reading has NaN or infinity")
            is_untouched &= (_as_bytes(out) == _SENTINELS[num_seen % len(_SENTINELS)]).all(axis=-1)
            num_seen += 1
    finally:
        sensor.close()
    # In a single reading a value may have the sentinel's bytes by chance.
    require(num_seen == 1 or not is_untouched.any(), f"{int(is_untouched.sum())} elements are never written")
    return f"{num_seen} readings"


def stamps_and_counts_only_grow(bench: Bench) -> str:
    sensor = bench.make()
    last: Reading | None = None
    sensor.open()
    try:
        for _, reading in _readings(sensor, bench):
            now_ns = bench.clock.now_ns()
            require(
                reading.captured_ns <= reading.received_ns <= now_ns,
                "captured_ns <= received_ns <= now does not hold",
            )
            require(
                0 <= reading.quality <= 1 and 0 <= reading.confidence <= 1,
                "quality or confidence is not in 0..1",
            )
            require(not reading.noise_std < 0, f"noise_std is {reading.noise_std}: give 0 or more, or NaN")
            if last is not None:
                require(
                    reading.sequence > last.sequence,
                    f"sequence went from {last.sequence} to {reading.sequence}",
                )
                require(reading.captured_ns >= last.captured_ns, "captured_ns went back")
            last = reading
    finally:
        sensor.close()
    return "sequence, captured_ns, received_ns"


def a_bounded_read_returns(bench: Bench) -> str:
    """Also when nothing is due: the clock does not move. Fails by this check's own time limit."""
    sensor = bench.make()
    if not sensor.spec.is_bounded:
        return "not bounded: its driver gives it a thread"
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    sensor.open()
    try:
        for _ in range(100):
            sensor.read_into(out)
    except SourceExhausted:
        return "until the recording's end"
    finally:
        sensor.close()
    return "100 reads, one after the other"


def closing_is_safe(bench: Bench) -> str:
    never_opened = bench.make()
    never_opened.close()
    sensor = bench.make()
    sensor.open()
    sensor.close()
    sensor.close()
    return "before open, and twice"


def reading_while_closed_raises(bench: Bench) -> str:
    sensor = bench.make()
    out = np.zeros(sensor.spec.tensor.shape, dtype=sensor.spec.tensor.dtype)
    require(_raises_sensor_error(sensor, out), "read_into before open() did not raise SensorError")
    sensor.open()
    sensor.close()
    require(_raises_sensor_error(sensor, out), "read_into after close() did not raise SensorError")
    return "SensorError before open and after close"


def it_opens_again_after_close(bench: Bench) -> str:
    sensor = bench.make()
    sensor.open()
    sensor.close()
    sensor.open()
    try:
        num_seen = sum(1 for _ in _readings(sensor, bench))
    finally:
        sensor.close()
    return f"{num_seen} readings"


def three_ways_to_read(bench: Bench) -> str:
    problem = check_three_ways_to_read(bench.make, clock=bench.clock)
    require(problem is None, str(problem))
    return "next, freshest, block"


#: In this order, by name.
CHECKS: dict[str, Callable[[Bench], str]] = {
    check.__name__: check
    for check in (
        spec_is_known_before_open,
        spec_never_changes,
        config_is_a_sensor_config,
        readings_are_whole,
        stamps_and_counts_only_grow,
        a_bounded_read_returns,
        closing_is_safe,
        reading_while_closed_raises,
        it_opens_again_after_close,
        three_ways_to_read,
    )
}


def run_check(name: str, check: Callable[[], str], *, timeout_secs: float) -> CheckResult:
    """On a thread of its own, so that a device that hangs is a result. check: returns its detail."""
    results: list[CheckResult] = []

    def work() -> None:
        try:
            results.append(CheckResult(name=name, is_ok=True, detail=check()))
        except CheckFailed as failure:
            results.append(CheckResult(name=name, is_ok=False, detail=str(failure)))
        except Exception as error:  # around a plug-in: shown as the check's result
            results.append(CheckResult(name=name, is_ok=False, detail=f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=work, name=f"check-{name}", daemon=True)
    thread.start()
    thread.join(timeout_secs)
    if results:
        return results[0]
    return CheckResult(name=name, is_ok=False, detail=f"hangs: not done in {timeout_secs:g} s")


def _readings(sensor: Sensor, bench: Bench) -> Iterator[tuple[np.ndarray, Reading]]:
    """(memory, Reading) of up to `num_readings`, at least one; advances the clock until there is one."""
    spec = sensor.spec
    num_seen = 0
    # A source without a reading for so many periods fails the check.
    for _ in range(50 * bench.num_readings):
        out = np.zeros(spec.tensor.shape, dtype=spec.tensor.dtype)
        _as_bytes(out)[...] = _SENTINELS[num_seen % len(_SENTINELS)]
        try:
            reading = sensor.read_into(out)
        except SourceExhausted:
            break
        if reading is not None:
            num_seen += 1
            yield out, reading
        if num_seen == bench.num_readings:
            break
        if reading is None:
            bench.clock.wait_until(bench.clock.now_ns() + spec.period_ns // 2 + 1)
    require(num_seen > 0, f"no reading in {25 * bench.num_readings} periods")


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """(elements, item bytes) uint8, the same memory."""
    return array.reshape(-1).view(np.uint8).reshape(array.size, ITEM_BYTES[array.dtype.name])


def _raises_sensor_error(sensor: Sensor, out: np.ndarray) -> bool:
    try:
        sensor.read_into(out)
    except SensorError:
        return True
    return False


def require(is_met: bool, failure: str) -> None:
    """CheckFailed with `failure` unless `is_met`."""
    if not is_met:
        raise CheckFailed(failure)
