"""What the checks of the conformance kits share: a result, a time limit, readings on a bench.

Invariant: `run_check` never raises and never hangs: a check that fails, raises or does not return is a
result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.errors import SageError, pass_on
from sage.mailbox.clock import Clock
from sage.mailbox.tensor_spec import ITEM_BYTES
from sage.sensors.contract import Reading, Sensor, SourceExhausted
from sage.sensors.contract_version import CONTRACT_VERSION, contract_problem
from sage.sensors.testing.plugin_call import describe_error, describe_hang

MakeSensor = Callable[[], Sensor]

#: Bytes that fill the memory before a read, in turn: elements that a sensor never writes keep them.
SENTINELS = (0xA5, 0x5A, 0x3C, 0xC3)


class CheckFailed(SageError):
    """The device breaks its contract. The message has which part, and what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check. detail: what was seen, or why it failed and what to mend."""

    name: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a check uses. timeout_secs: of real time, for one check."""

    make: MakeSensor
    clock: Clock
    num_readings: int = 4
    timeout_secs: float = 20.0


def require(is_met: bool, failure: str) -> None:
    """CheckFailed with `failure` unless `is_met`."""
    if not is_met:
        raise CheckFailed(failure)


def run_check(name: str, check: Callable[[], str], *, timeout_secs: float) -> CheckResult:
    """On a thread of its own, so that a device that hangs is a result. check: returns its detail."""
    results: list[CheckResult] = []

    def work() -> None:
        try:
            results.append(CheckResult(name=name, is_ok=True, detail=check()))
        except CheckFailed as failure:
            results.append(CheckResult(name=name, is_ok=False, detail=str(failure)))
        except BaseException as error:  # around a plug-in: shown as the check's result
            pass_on(error)
            results.append(CheckResult(name=name, is_ok=False, detail=describe_error(error)))

    thread = threading.Thread(target=work, name=f"check-{name}", daemon=True)
    thread.start()
    thread.join(timeout_secs)
    if results:
        return results[0]
    return CheckResult(name=name, is_ok=False, detail=describe_hang(thread.ident, timeout_secs))


def contract_is_this_one(bench: Any) -> str:
    """Of a sensor, an effector or an environment."""
    problem = contract_problem(type(bench.make()))
    require(not problem, problem)
    return f"plug-in contract {CONTRACT_VERSION}"


def readings(sensor: Sensor, bench: Bench) -> Iterator[tuple[np.ndarray, Reading]]:
    """(memory, Reading) of up to `num_readings`, at least one; advances the clock until there is one."""
    spec = sensor.spec
    num_seen = 0
    # A source without a reading for so many periods fails the check.
    for _ in range(50 * bench.num_readings):
        out = np.zeros(spec.tensor.shape, dtype=spec.tensor.dtype)
        as_bytes(out)[...] = SENTINELS[num_seen % len(SENTINELS)]
        try:
            reading = sensor.read_into(out)
        except SourceExhausted:
            break
        require(
            reading is None or isinstance(reading, Reading),
            f"read_into returned {type(reading).__name__}: return a Reading, or None when there is none",
        )
        if reading is not None:
            num_seen += 1
            yield out, reading
        if num_seen == bench.num_readings:
            break
        if reading is None:
            bench.clock.wait_until(bench.clock.now_ns() + spec.period_ns // 2 + 1)
    require(
        num_seen > 0,
        f"no reading in {25 * bench.num_readings} periods of {spec.period_ns / 1e9:g} s: time readings by"
        " context.clock, and give the device's own period_ns",
    )


def as_bytes(array: np.ndarray) -> np.ndarray:
    """(elements, item bytes) uint8, the same memory."""
    return array.reshape(-1).view(np.uint8).reshape(array.size, ITEM_BYTES[array.dtype.name])
