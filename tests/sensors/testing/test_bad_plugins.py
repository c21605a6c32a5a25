"""Ways to be a bad plug-in: each is caught by the check of its part, with a message on what to mend."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec
from sage.sensors.testing.conformance import CHECKS, check_sensor

PERIOD_NS = 100_000_000
RELEASED = threading.Event()


class Wind:
    """A good plug-in: two numbers at 10 Hz. Each bad one below breaks one thing."""

    Config = SensorConfig
    unit = "m/s"
    is_bounded = True
    step_ns = PERIOD_NS

    def __init__(self, config: SensorConfig, context: SensorContext) -> None:
        self._clock = context.clock
        self._due_ns = 0
        self._sequence = 0
        self._is_open = False
        self.spec = SensorSpec(
            name="wind",
            modality="physical",
            tensor=TensorSpec(shape=(2,)),
            period_ns=PERIOD_NS,
            observes=("wind speed", self.unit),
            is_bounded=self.is_bounded,
        )

    def open(self) -> None:
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        if not self._is_open:
            raise SensorError("wind: read while closed: call open() first")
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + self.step_ns
        self._sequence += 1
        self.write(out)
        return Reading(captured_ns=self.stamp(now_ns), received_ns=now_ns, sequence=self._sequence - 1)

    def write(self, out: np.ndarray) -> None:
        out[...] = self._sequence

    def stamp(self, now_ns: int) -> int:
        return now_ns

    def close(self) -> None:
        self._is_open = False


class WrongShape(Wind):
    def write(self, out: np.ndarray) -> None:
        out[...] = np.zeros(3)


class WrongDtype(Wind):
    def write(self, out: np.ndarray) -> None:
        out.dtype = np.dtype("int32")  # type: ignore[misc]  # what a careless plug-in does
        out[...] = self._sequence


class Rebinds(Wind):
    def write(self, out: np.ndarray) -> None:
        out = np.full(2, self._sequence)  # noqa: F841  # a new array: nothing reaches the caller


class HasNan(Wind):
    def write(self, out: np.ndarray) -> None:
        out[...] = (self._sequence, np.nan)


class Blocks(Wind):
    def write(self, out: np.ndarray) -> None:
        RELEASED.wait()


class Leaves(Wind):
    def read_into(self, out: np.ndarray) -> Reading | None:
        raise SystemExit("no device")


class GoesBack(Wind):
    def stamp(self, now_ns: int) -> int:
        return now_ns - self._sequence * 2 * PERIOD_NS


class FromTheFuture(Wind):
    def stamp(self, now_ns: int) -> int:
        return now_ns + 1


class LeaksAThread(Wind):
    def open(self) -> None:
        super().open()
        threading.Thread(target=RELEASED.wait, name="wind-reader", daemon=True).start()


class LeaksADescriptor(Wind):
    opened: ClassVar[list[int]] = []

    def open(self) -> None:
        super().open()
        self.opened.append(os.open("/dev/null", os.O_RDONLY))


class ReusesItsBuffer(Wind):
    handed_over: np.ndarray | None = None

    def write(self, out: np.ndarray) -> None:
        if self.handed_over is not None:
            self.handed_over[...] = -1
        out[...] = self._sequence
        self.handed_over = out


class IsSlower(Wind):
    step_ns = 8 * PERIOD_NS


class NeverStops(Wind):
    step_ns = 0


class ChangesItsSpec(Wind):
    def open(self) -> None:
        super().open()
        self.spec = SensorSpec(
            name="wind",
            modality="physical",
            tensor=TensorSpec(shape=(3,)),
            period_ns=PERIOD_NS,
            observes=("wind speed", "m/s"),
        )


class HasNoUnit(Wind):
    unit = ""


class HasAPeriodThatIsNoCount(Wind):
    def __init__(self, config: SensorConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self.spec = dataclasses.replace(self.spec, period_ns=0.1 * 1e9)


class HasAnotherModality(Wind):
    def __init__(self, config: SensorConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self.spec = dataclasses.replace(self.spec, modality="vision")


class OpensOnce(Wind):
    has_closed = False

    def open(self) -> None:
        if self.has_closed:
            raise OSError("device busy")
        super().open()

    def close(self) -> None:
        self.has_closed = self.has_closed or self._is_open
        super().close()


class ClosesOnce(Wind):
    def close(self) -> None:
        if not self._is_open:
            raise RuntimeError("not open")
        super().close()


class ReadsWhileClosed(Wind):
    def read_into(self, out: np.ndarray) -> Reading | None:
        return super().read_into(out) if self._is_open else None


class HidesAFault(Wind):
    def read_into(self, out: np.ndarray) -> Reading | None:
        reading = super().read_into(out)
        if reading is None:
            return None
        return Reading(
            captured_ns=reading.captured_ns,
            received_ns=reading.received_ns,
            sequence=reading.sequence,
            health="the vane is stuck",
        )


class ReturnsAFlag(Wind):
    def read_into(self, out: np.ndarray) -> Any:
        return super().read_into(out) is not None


BAD: dict[Callable[..., Any], tuple[str, str]] = {
    WrongShape: ("readings_are_whole", "read_into raised ValueError: .* write spec.tensor's shape and dtype"),
    WrongDtype: ("readings_are_whole", r"changed the shape or dtype .* out\[...\] = values"),
    Rebinds: ("readings_are_whole", "2 of 2 elements are never written: write all of `out`, in place"),
    HasNan: ("readings_are_whole", "NaN or infinity: return None, or raise SensorError"),
    Blocks: ("a_bounded_read_returns", r"read_into has not returned .*test_bad_plugins.py:\d+\): wait a few"),
    Leaves: (
        "readings_are_whole",
        r"read_into raised SystemExit: no device .* raise SensorError for",
    ),
    GoesBack: ("stamps_and_counts_only_grow", "captured_ns went back by 0.* s: deliver readings in order"),
    FromTheFuture: ("stamps_and_counts_only_grow", "does not hold .*: stamp with context.clock"),
    LeaksAThread: (
        "closing_gives_everything_back",
        r"3 threads behind \(wind-reader\): end and join in close",
    ),
    LeaksADescriptor: ("closing_gives_everything_back", r"3 descriptors open \(/dev/null.*: close in close"),
    ReusesItsBuffer: ("memory_is_lent_for_one_call", "changed after .* keep no reference to `out`"),
    IsSlower: ("rate_is_as_claimed", "each 0.1 s, and they are 0.8.* s apart: give the device's own period"),
    NeverStops: ("rate_is_as_claimed", "readings are due at one time, .*: return None until the next one"),
    ChangesItsSpec: ("spec_never_changes", r"open\(\) changed the spec, .*: know it before"),
    HasNoUnit: ("spec_is_known_before_open", r"observes is .*: give \(quantity, unit\), .* unit '1'"),
    HasAPeriodThatIsNoCount: ("spec_is_known_before_open", "period_ns is 100000000.0: give a whole number"),
    HasAnotherModality: ("spec_is_known_before_open", "modality is 'vision': give one of physical, temporal"),
    OpensOnce: ("it_opens_again_after_close", r"does not open again .*device busy.*free in close\(\)"),
    ClosesOnce: ("closing_is_safe", r"close raised RuntimeError: not open .* twice, and before open"),
    ReadsWhileClosed: ("reading_while_closed_raises", "did not raise SensorError: raise SensorError while"),
    HidesAFault: ("stamps_and_counts_only_grow", "health is 'the vane is stuck' and quality is 1: lower"),
    ReturnsAFlag: ("readings_are_whole", "returned bool: return a Reading, or None"),
}


def results_of(kind: Callable[..., Any], timeout_secs: float = 20.0) -> dict[str, Any]:
    clock = ManualClock()
    context = SensorContext(clock=clock, epoch_ns=0)
    results = check_sensor(
        lambda: kind(SensorConfig(kind="wind"), context), clock=clock, timeout_secs=timeout_secs
    )
    return {result.name: result for result in results}


@pytest.fixture(autouse=True)
def released() -> Any:
    """Threads that a bad plug-in left behind end, and its descriptors are closed."""
    RELEASED.clear()
    yield
    RELEASED.set()
    while LeaksADescriptor.opened:
        os.close(LeaksADescriptor.opened.pop())


def test_a_good_one_passes_all_checks() -> None:
    results = results_of(Wind)
    assert list(results) == list(CHECKS)
    assert not [result for result in results.values() if not result.is_ok]


@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.__name__)
def test_a_bad_one_is_caught_with_what_to_mend(kind: Callable[..., Any]) -> None:
    check, message = BAD[kind]
    result = results_of(kind, timeout_secs=0.1 if kind is Blocks else 20.0)[check]
    assert not result.is_ok
    assert re.search(message, result.detail), result.detail
    assert "\n" not in result.detail


def test_a_read_that_blocks_is_no_fault_of_a_device_that_may_wait_but_of_one_that_hangs() -> None:
    """Also not bounded, a read that never returns is a result, and not a kit that hangs."""
    kind = type("Waits", (Blocks,), {"is_bounded": False})
    results = results_of(kind, timeout_secs=0.1)
    assert results["a_bounded_read_returns"].is_ok
    assert "read_into has not returned" in results["readings_are_whole"].detail
