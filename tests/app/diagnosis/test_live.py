"""Injected faults of a loop on a manual clock: the cause of each is named first, and none without a fault."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from sage.app.config.registry import Plugin, plugins
from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.diagnosis.causes import build_graph
from sage.app.diagnosis.injection import ENDED as FAULT_ENDED
from sage.app.diagnosis.injection import FullDisk, Injector
from sage.app.diagnosis.monitor import ENDED, NAMED, DiagnosisMonitor
from sage.app.diagnosis.naming import Namer, load_answers
from sage.app.diagnosis.symptoms import SymptomMeter
from sage.app.session.build import build_run
from sage.app.session.watching import sources_of
from sage.mailbox.clock import ManualClock
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.contract import SensorContext
from sage.sensors.devices.synthetic import SyntheticConfig, SyntheticSensor

SECS, RATE_HZ = 1_000_000_000, 5


class DerivedConfig(SyntheticConfig):
    kind: Literal["derived"] = "derived"  # type: ignore[assignment]
    lineage: tuple[str, ...] = ()


class DerivedSensor(SyntheticSensor):
    """A synthetic sensor that states what it is derived from."""

    Config = DerivedConfig

    def __init__(self, config: DerivedConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self._spec = dataclasses.replace(self._spec, lineage=config.lineage)


class FakeMachine:
    """A machine without a problem, and a store and a core that can be given one."""

    def __init__(self) -> None:
        self.problem_text = ""
        self.share = 0.0

    def wait_share(self) -> float:
        return self.share

    def has_room(self) -> bool:
        return True

    def store_problem(self) -> str:
        return self.problem_text

    def problem(self) -> str:
        return self.problem_text

    def refuse(self, reason: str) -> None:
        self.problem_text = reason

    def start(self) -> None:
        self.share = 0.8

    def end(self) -> None:
        self.share = 0.0


class Events:
    def __init__(self) -> None:
        self.all: list[tuple[str, str, float]] = []
        self._secs = 0.0

    def on_tick(self, report: TickReport) -> None:
        self._secs = report.facts.time_ns / SECS

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None:
        self.all.append((event.kind, event.message, self._secs))

    def of(self, kind: str) -> list[tuple[str, float]]:
        return [(message, secs) for each, message, secs in self.all if each == kind]


class Live:
    """A loop of four sources, of which two are derived, with its diagnosis."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.events = FakeMachine(), Events()
        self.run = build_run(_config(), ManualClock(), directory=folder)
        board = self.run.world.faults
        assert board is not None
        loop, sources = self.run.loop, sources_of(self.run.loop, _config())
        disk = FullDisk(self.machine)
        self.monitor = DiagnosisMonitor(
            SymptomMeter(sources, disk, has_real_time=False),
            lambda: Namer(build_graph(sources), *load_answers("diagnosis")),
            note=loop.note,
            every_ns=SECS,
            is_inline=True,
        )
        self.injector = Injector(
            sources,
            board,
            disk,
            self.machine,
            refuse=self.machine.refuse,
            note=loop.note,
            ask=loop.control.ask,
        )
        loop.observe(self.injector, self.monitor, self.events)
        self.run.open()

    def go_on(self, secs: float) -> float:
        """Tick for so long; the time after it."""
        self.run.loop.run(num_ticks=round(secs * RATE_HZ))
        return self.run.loop.clock.now_ns() / SECS


def _config() -> SageConfig:
    kinds = {"a": 5.0, "b": 5.0, "c": 5.0, "d": 2.5}
    sensors = [
        {"kind": "synthetic", "name": name, "rate_hz": rate, "shape": [4], "seed": seed}
        for seed, (name, rate) in enumerate(kinds.items())
    ]
    derived = [
        {"kind": "derived", "name": name, "lineage": ["a"], "rate_hz": 5.0, "shape": [3], "seed": seed}
        for name, seed in (("x", 7), ("y", 8))
    ]
    data = {
        "sensors": sensors + derived,
        "model": {"hidden_size": 16, "num_heads": 2},
        "tick": {"rate_hz": RATE_HZ},
        "practice": {"enabled": False},
        "sleep": {"enabled": False},
        "diagnosis": {"allow_inject": True},
    }
    return build_config(YamlDocument(data=data, source="test.yaml"))


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    kind = Plugin(kind="derived", target=f"{__name__}:DerivedSensor", origin="built in")
    monkeypatch.setitem(plugins("sensors"), "derived", kind)
    return Live(tmp_path)


def _first(text: str) -> str:
    """The first of causes with the same symptoms."""
    return text.partition(" (symptoms")[0].partition(", or ")[0]


FAULTS = [
    (["freeze"], ["b"], ["b repeats one value"]),
    (["drift"], ["c"], ["the clock of c drifts"]),
    (["silence"], ["d"], ["d delivers nothing"]),
    (["cut"], ["a"], ["the line from a to what is derived from it is cut"]),
    (["disk"], [], ["the state disk is full"]),
    (["starve"], [], ["other work takes the loop's core"]),
    (["freeze", "drift"], ["c", "b"], ["c repeats one value", "the clock of b drifts"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("faults", "sources", "causes"), FAULTS)
def test_an_injected_fault_is_named_first_within_ten_seconds_and_ends(
    faults: list[str], sources: list[str], causes: list[str], live: Live
) -> None:
    live.go_on(12)
    assert live.events.of(NAMED) == []
    live.injector.start(faults, sources, 12.0)
    began = live.go_on(12.5) - 12.5
    named, ended = live.events.of(NAMED), live.events.of(FAULT_ENDED)
    assert len(ended) == len(faults)
    assert sorted(_first(text) for text, _ in named) == sorted(causes)
    assert all(secs - began <= 10 for _, secs in named), named
    live.go_on(9)
    assert sorted(_first(text) for text, _ in live.events.of(ENDED)) == sorted(causes)
    assert live.monitor.named == ()
    live.run.close()


@pytest.mark.slow
def test_no_cause_is_named_in_a_quiet_run(live: Live) -> None:
    live.go_on(300)
    assert live.events.of(NAMED) == []
    assert live.monitor.figures().num_calls == 0
    live.run.close()
