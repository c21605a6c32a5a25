"""Causes named while a loop runs on the recorded hour of host telemetry, in which nothing is wrong.

The readings are those of `recordings/host_2cores_3720s.npz` (`_fusion_host`), each delivered when it is due
on a manual clock, with the rest of the default configuration but the puzzles: prediction, practice, nights,
memory and trust. Waiting for a core is not part of the recording, so that the symptoms are those of sources
alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import harness
import numpy as np
from _fusion_host import FAULTY, HOUR, RANGES, load_hour

from sage.app.config.registry import Plugin, plugins
from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.diagnosis.causes import build_graph
from sage.app.diagnosis.machine import SimulatedMachine
from sage.app.diagnosis.monitor import ENDED, NAMED, DiagnosisFigures, DiagnosisMonitor
from sage.app.diagnosis.naming import Namer, load_answers
from sage.app.diagnosis.symptoms import SymptomMeter
from sage.app.session.build import build_run
from sage.app.session.watching import sources_of
from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.config import SensorConfig
from sage.sensors.contract import Reading, SensorContext, SensorError, SensorSpec, SourceExhausted

QUICK_SECS = 60.0
RATE_HZ = 10.0
KIND = "recorded"


class RecordedConfig(SensorConfig):
    kind: Literal["recorded"] = "recorded"


class RecordedSensor:
    """One source of the recorded hour, with the range that its sensor declares."""

    Config = RecordedConfig

    def __init__(self, config: RecordedConfig, context: SensorContext) -> None:
        times, values = load_hour(HOUR)[config.name]
        self._clock, self._epoch_ns = context.clock, context.epoch_ns
        self._times_ns: list[int] = (times * 1e9).astype(np.int64).tolist()
        self._values = values.astype(np.float32)
        self._row, self._is_open = 0, False
        self._spec = SensorSpec(
            name=config.name,
            modality="physical",
            tensor=TensorSpec(shape=(values.shape[1],)),
            period_ns=int(np.median(np.diff(self._times_ns))),
            observes=(config.name, "1"),
            channels=tuple(f"{config.name}{channel}" for channel in range(values.shape[1])),
            is_bounded=True,
            ranges=(RANGES[config.name],) * values.shape[1],
        )

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._row = int(np.searchsorted(self._times_ns, self._clock.now_ns() - self._epoch_ns))
        self._is_open = True

    def read_into(self, out: np.ndarray) -> Reading | None:
        """The newest reading that is due."""
        if not self._is_open:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        if self._row >= len(self._times_ns):
            raise SourceExhausted(f"{self._spec.name}: end of the recording")
        now_ns = self._clock.now_ns()
        if now_ns - self._epoch_ns < self._times_ns[self._row]:
            return None
        row, self._row = self._row, self._row + 1
        out[:] = self._values[row]
        return Reading(captured_ns=self._epoch_ns + self._times_ns[row], received_ns=now_ns, sequence=row)

    def close(self) -> None:
        self._is_open = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Of the loop over the recording: secs replayed, events of causes (time in s, kind, text), figures of the
    monitor, share of ticks in which each judged source had a trust below 0.5."""

    secs: float
    events: tuple[tuple[float, str, str], ...]
    figures: DiagnosisFigures
    distrusted: dict[str, float]


class _Watch:
    """An instrument that notes events of causes and distrust."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, str]] = []
        self.secs, self._num_ticks = 0.0, 0
        self._num_low: dict[str, int] = {}

    def on_tick(self, report: TickReport) -> None:
        self.secs = report.facts.time_ns * 1e-9
        self._num_ticks += 1
        for source in report.facts.sources:
            is_low = source.is_judged and source.trust < FAULTY
            self._num_low[source.name] = self._num_low.get(source.name, 0) + is_low

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None:
        if event.kind in (NAMED, ENDED):
            self.events.append((self.secs, event.kind, event.message))

    @property
    def distrusted(self) -> dict[str, float]:
        return {name: num / self._num_ticks for name, num in self._num_low.items()}


def watch_hour(secs: float | None) -> Watched:
    """secs: of the recording; all of it when None."""
    recording = load_hour(HOUR)
    end = max(times[-1] for times, _ in recording.values()) if secs is None else secs
    plugins("sensors")[KIND] = Plugin(kind=KIND, target=f"{__name__}:RecordedSensor", origin="built in")
    with tempfile.TemporaryDirectory() as folder:
        config, watch = _config(list(recording)), _Watch()
        run = build_run(config, ManualClock(), directory=Path(folder))
        sources = sources_of(run.loop, config)
        monitor = DiagnosisMonitor(
            SymptomMeter(sources, SimulatedMachine(), has_real_time=False),
            lambda: Namer(build_graph(sources), *load_answers(config.diagnosis.model)),
            note=run.loop.note,
            every_ns=round(config.diagnosis.every_secs * 1e9),
            is_inline=True,
        )
        run.loop.observe(monitor, watch)
        try:
            run.open()
            run.loop.run(num_ticks=round(end * RATE_HZ))
        finally:
            run.close()
    return Watched(
        secs=watch.secs, events=tuple(watch.events), figures=monitor.figures(), distrusted=watch.distrusted
    )


def _config(names: Sequence[str]) -> SageConfig:
    rates = {"rate_hz": RATE_HZ, "rest_rate_hz": RATE_HZ, "dream_rate_hz": RATE_HZ}
    data: dict[str, Any] = {
        "name": "hour",
        "tick": rates,
        "practice": {"enabled": True},
        "sleep": {"enabled": True},
        "memory": {"num_contexts": 8},
        "sensors": [
            *({"kind": KIND, "name": name} for name in names),
            {"kind": "clock", "name": "clock", "cycles_secs": [60, 3600, 86400]},
            {"kind": "memory", "name": "recall"},
        ],
    }
    return build_config(YamlDocument(data=data, source="hour.yaml"))


def hour_tables(found: Watched) -> list[harness.TextTable]:
    rows = [(f"{secs:.0f}", kind, text) for secs, kind, text in found.events]
    return [
        harness.TextTable(
            title=f"{found.secs:,.0f} s of host telemetry with nothing wrong: causes named",
            columns=("s", "event", "cause"),
            rows=tuple(rows or [("-", "none", "-")]),
        ),
        harness.TextTable(
            title="Time below a trust of 0.5",
            columns=("source", "% of the ticks"),
            rows=tuple((name, f"{100 * share:.2f}") for name, share in found.distrusted.items()),
        ),
    ]


def hour_bars(found: Watched, *, is_whole: bool) -> list[harness.Bar]:
    """Owed in a quick run."""
    named = float(found.figures.num_named) if is_whole else None
    return [harness.Bar(name="causes named in an hour without a fault", value=named, bar=0.0, better="lower")]
