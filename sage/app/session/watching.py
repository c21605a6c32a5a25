"""Diagnosis of one session: built from its run and its configuration, used by `sage run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from sage.app.config.sage_config import SageConfig
from sage.app.diagnosis.burden import BusyCore
from sage.app.diagnosis.causes import SourceAbout, build_graph
from sage.app.diagnosis.injection import FullDisk, Injector
from sage.app.diagnosis.machine import HostMachine, Machine, SimulatedMachine
from sage.app.diagnosis.monitor import DiagnosisFigures, DiagnosisMonitor
from sage.app.diagnosis.naming import Namer, load_answers
from sage.app.diagnosis.symptoms import SymptomMeter
from sage.app.session.build import Run
from sage.mailbox.clock import ManualClock
from sage.runtime.loop import Loop
from sage.runtime.report import Instrument

Verbs = dict[str, Callable[[dict[str, Any]], dict[str, Any]]]


class Writer(Protocol):
    """The session's store."""

    def problem(self) -> str: ...

    def refuse(self, reason: str) -> None: ...


class Diagnosing:
    """Instruments, verbs and lines for the live view of one session. machine: of tests, else this machine."""

    def __init__(
        self,
        run: Run,
        config: SageConfig,
        writer: Writer,
        *,
        state_dir: Path,
        machine: Machine | None = None,
    ) -> None:
        section, loop, board = config.diagnosis, run.loop, run.world.faults
        sources = sources_of(loop, config)
        is_simulated = isinstance(loop.clock, ManualClock)
        if machine is None:
            machine = SimulatedMachine() if is_simulated else HostMachine(state_dir, writer.problem)
        disk = FullDisk(machine)
        self._monitor: DiagnosisMonitor | None = None
        self._injector: Injector | None = None
        if section.enabled:
            self._monitor = DiagnosisMonitor(
                SymptomMeter(sources, disk, has_real_time=not is_simulated),
                lambda: Namer(build_graph(sources), *load_answers(section.model)),
                note=loop.note,
                every_ns=round(section.every_secs * 1e9),
                is_inline=is_simulated,
            )
        if board is not None:
            self._injector = Injector(
                sources,
                board,
                disk,
                BusyCore(),
                refuse=writer.refuse,
                note=loop.note,
                ask=loop.control.ask,
            )

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        both: tuple[Instrument | None, ...] = (self._injector, self._monitor)
        return tuple(each for each in both if each is not None)

    @property
    def verbs(self) -> Verbs:
        return {} if self._injector is None else {"inject": self._injector.verb}

    @property
    def figures(self) -> DiagnosisFigures | None:
        return None if self._monitor is None else self._monitor.figures()

    def notices(self) -> tuple[str, ...]:
        return () if self._monitor is None else self._monitor.notices()

    def close(self) -> None:
        for each in (self._injector, self._monitor):
            if each is not None:
                each.close()


def sources_of(loop: Loop, config: SageConfig) -> tuple[SourceAbout, ...]:
    """What each source of a loop depends on, as its specification and its configuration state."""
    entries = {entry.name: entry for entry in config.enabled_sensors}
    found = []
    for spec in loop.layout.specs:
        entry = entries.get(spec.name)
        settings = None if entry is None else entry.config
        device = getattr(settings, "device", None) or getattr(settings, "path", None)
        url = getattr(settings, "url", None)
        found.append(
            SourceAbout(
                name=spec.name,
                kind="environment" if entry is None else entry.kind,
                period_ns=spec.period_ns,
                lineage=spec.lineage,
                device="" if device is None else str(device),
                host="" if url is None else urlsplit(str(url)).netloc,
                is_physical=spec.modality == "physical",
            )
        )
    return tuple(found)
