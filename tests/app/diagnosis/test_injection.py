"""Injected faults: what a wrapped sensor returns, how faults begin and end, and what is refused."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from sage.app.diagnosis.causes import SourceAbout
from sage.app.diagnosis.faults import DRIFT_RATE, FaultBoard
from sage.app.diagnosis.injection import ENDED, STARTED, FullDisk, Injector
from sage.app.diagnosis.machine import HostMachine, SimulatedMachine
from sage.app.terminal.errors import UserError
from sage.mailbox.tensor_spec import TensorSpec
from sage.sensors.contract import Reading, SensorSpec

SECS = 1_000_000_000
SOURCES = (
    SourceAbout(name="a", kind="counter", period_ns=SECS),
    SourceAbout(name="d", kind="counter", period_ns=SECS, lineage=("a",)),
    SourceAbout(name="far", kind="environment", period_ns=SECS),
)


class Counter:
    """Each reading is its own number, one a second."""

    def __init__(self, name: str) -> None:
        self.num = 0
        self._name = name

    @property
    def spec(self) -> SensorSpec:
        return SensorSpec(
            name=self._name,
            modality="physical",
            tensor=TensorSpec(shape=(1,)),
            period_ns=SECS,
            observes=("count", "1"),
        )

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read_into(self, out: np.ndarray) -> Reading:
        self.num += 1
        out[0] = self.num
        return Reading(captured_ns=self.num * SECS, received_ns=self.num * SECS, sequence=self.num - 1)


class Burden:
    def __init__(self) -> None:
        self.is_busy = False

    def start(self) -> None:
        self.is_busy = True

    def end(self) -> None:
        self.is_busy = False


class Bench:
    def __init__(self) -> None:
        self.board, self.disk, self.burden = FaultBoard(), FullDisk(SimulatedMachine()), Burden()
        self.sensors = {name: self.board.wrap(Counter(name)) for name in ("a", "d")}
        self.refusals: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.injector = Injector(
            SOURCES,
            self.board,
            self.disk,
            self.burden,
            refuse=self.refusals.append,
            note=lambda kind, text: self.notes.append((kind, text)),
            ask=self._at_once,
        )

    def _at_once(self, function: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function())
        except UserError as error:
            future.set_exception(error)
        return future

    def read(self, name: str) -> tuple[float, float] | None:
        """Value and capture time in seconds."""
        out = np.zeros(1, np.float32)
        reading = self.sensors[name].read_into(out)
        return None if reading is None else (float(out[0]), reading.captured_ns / SECS)


def test_a_wrapped_sensor_is_the_sensor_until_a_fault_and_after_it() -> None:
    bench = Bench()
    assert [bench.read("a") for _ in range(2)] == [(1, 1), (2, 2)]
    bench.injector.start(["freeze"], ["a"], 5)
    assert [bench.read("a") for _ in range(3)] == [(3, 3), (3, 4), (3, 5)]
    bench.injector.start(["drift"], ["a"], 5)
    drifted = [bench.read("a") for _ in range(3)]
    assert drifted == [(3, pytest.approx(6 + number * (1 - DRIFT_RATE))) for number in range(3)]
    assert bench.read("d") == (1, 1)
    bench.injector.close()
    assert bench.read("a") == (9, 9)
    bench.injector.start(["cut"], ["a"], 5)
    assert bench.read("a") == (10, 10)
    assert bench.read("d") is None
    bench.injector.close()
    assert bench.read("d") == (3, 3)
    texts = [text for kind, text in bench.notes if kind == ENDED]
    assert texts == [
        "a repeats one value",
        "the clock of a drifts",
        "the line from a to what is derived from it is cut",
    ]
    assert bench.notes[0] == (STARTED, "a repeats one value, for 5 s")


def test_faults_of_the_session_begin_and_end() -> None:
    bench = Bench()
    result = bench.injector.verb({"faults": ["disk", "starve"], "seconds": 3})
    assert result == {"injected": ["the state disk is full", "other work takes the loop's core"]}
    assert not bench.disk.has_room()
    assert bench.burden.is_busy
    assert bench.refusals == ["no space left on device (injected)"]
    with pytest.raises(UserError, match="disk: it is injected already"):
        bench.injector.start(["disk"], [], 1)
    bench.injector.close()
    assert bench.disk.has_room()
    assert not bench.burden.is_busy
    assert bench.refusals[-1] == ""


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ({"faults": ["frezze"], "sources": ["a"]}, "frezze: unknown fault: did you mean freeze"),
        ({"faults": ["freeze"]}, "freeze: no source: give --source NAME"),
        ({"faults": ["freeze"], "sources": ["b"]}, "b: no such source"),
        ({"faults": ["freeze"], "sources": ["far"]}, "far: it is of an environment"),
        ({"faults": ["cut"], "sources": ["d"]}, "d: nothing is derived from it"),
        ({"faults": ["disk"], "sources": ["a"]}, "give a source for each fault that needs one"),
        ({"faults": []}, "no fault"),
        ({"faults": "freeze"}, "lists of names"),
        ({"faults": ["disk"], "seconds": "x"}, "seconds is 'x'"),
        ({"faults": ["disk"], "seconds": 0}, "seconds is 0"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_begins(request_: dict[str, Any], part: str) -> None:
    bench = Bench()
    with pytest.raises(UserError) as caught:
        bench.injector.verb(request_)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert bench.notes == []


def test_this_machine_has_figures(tmp_path: Any) -> None:
    machine = HostMachine(tmp_path, lambda: "disk full")
    assert machine.wait_share() == 0
    assert 0 <= machine.wait_share() <= 1
    assert machine.store_problem() == "disk full"
    assert isinstance(machine.has_room(), bool)


def test_a_fault_of_the_session_is_injected_once_in_one_request() -> None:
    bench = Bench()
    for fault in ("starve", "disk"):
        with pytest.raises(UserError, match=f"{fault}: it is given twice"):
            bench.injector.start([fault, fault], [], 5)
    assert bench.notes == []
    assert not bench.burden.is_busy
