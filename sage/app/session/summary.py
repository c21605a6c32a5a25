"""The figures of a session, summed while it runs. An Instrument in constant memory, whatever the session's
length.

Invariant: every figure is of scored readings and real ticks; what was never measured is NaN: a dash in text,
null in JSON.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sage.app.session.acting_figures import ActingTally
from sage.app.session.figures import SessionFigures, SidecarFigures, SourceFigures
from sage.app.session.solving_figures import SolvingTally
from sage.app.terminal.budget import BudgetTally
from sage.app.terminal.skill import NIGHTS, SkillTable, counted_sources, verdict
from sage.app.terminal.skips import SkipTally
from sage.app.terminal.tick_times import LogHistogram, NightTickTally
from sage.runtime.report import (
    NAN,
    CoherenceFacts,
    Event,
    LearningFacts,
    MemoryFacts,
    SleepReport,
    SourceFacts,
    State,
    TickReport,
    to_plain,
)
from sage.sensors.environment import Baseline

_MAX_SLEEPS = 100
_COHERENCE = ("xerr", "agreement", "agreement_null", "correctness", "coherence")


class SessionSummary:
    """An Instrument; `figures()` at any time.

    temporal: names of the sources that are not physical (clock, recall).  missing: optional sensors that this
    machine lacks, with the reason.
    """

    def __init__(self, *, temporal: Collection[str] = (), missing: Sequence[tuple[str, str]] = ()) -> None:
        self._temporal = frozenset(temporal)
        self._missing = tuple(missing)
        self._num_ticks = 0
        self._num_overruns = 0
        self._num_sleeps = 0
        self._first_ns = 0
        self._last_ns = 0
        self._total = LogHistogram()
        self._overhead = LogHistogram()
        self._night_ticks = NightTickTally()
        self._states: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._skill = SkillTable()
        self._sources: dict[str, _SourceTally] = {}
        self._coherence = dict.fromkeys(_COHERENCE, (0.0, 0))
        self._sidecar = (0.0, 0.0, 0)  # squared errors of the sidecar and of the value head, ticks
        self._last: TickReport | None = None
        self._sleeps: list[SleepReport] = []
        self._solving = SolvingTally()
        self._acting = ActingTally()
        self._totals: dict[str, dict[str, int]] = {}
        self._skips = SkipTally()
        self._budget = BudgetTally()

    def on_tick(self, report: TickReport) -> None:
        facts, timing = report.facts, report.timing
        if self._last is None:
            self._first_ns = facts.time_ns
        self._last = report
        self._last_ns = facts.time_ns
        self._num_ticks += 1
        self._num_overruns += timing.is_overrun
        self._total.add(timing.total_ns)
        self._overhead.add(timing.overhead_ns)
        self._night_ticks.add(facts.state, timing.total_ns)
        self._states[facts.state.value] += 1
        self._skill.next_tick()
        for source in facts.sources:
            self._add_source(source)
        for world in facts.acting:
            self._acting.add(world)
        for solving in facts.solving:
            self._solving.add(solving)
            self._skips.add(solving.stream, solving.skipped)
        for work in facts.work:
            self._skips.add(work.name, work.skipped)
        streams = [(each.stream, each.num_segments) for each in facts.solving]
        self._budget.add(facts.num_segments, streams, facts.work)
        for name, (total, num) in self._coherence.items():
            value = getattr(facts.coherence, name)
            if math.isfinite(value):
                self._coherence[name] = (total + value, num + 1)

        self._add_sidecar(facts.memory)

    def on_sleep(self, report: SleepReport) -> None:
        self._num_sleeps += 1
        self._sleeps = [*self._sleeps[1 - _MAX_SLEEPS :], report]
        if report.outcome in NIGHTS and not report.stream:
            self._skill.end_night()

    def note_held_out(self, stream: str, level: int, num: int, num_solved: int) -> None:
        """At the end: how many held-out puzzles of a level were tried, and how many were solved."""
        self._solving.note_held_out(stream, level, num, num_solved)

    def note_lost(self, stream: str, num_lost: int) -> None:
        """At the end: experiences of a stream that were lost."""
        self._solving.note_lost(stream, num_lost)

    def note_baselines(self, world: str, baselines: Sequence[Baseline]) -> None:
        """At the end: what other policies reached in a world."""
        self._acting.note_baselines(world, baselines)

    def note_totals(self, world: str, totals: Mapping[str, int]) -> None:
        """At the end: what an environment counted, by name."""
        if totals:
            self._totals[world] = dict(totals)

    def on_event(self, event: Event) -> None:
        if event.kind in self._events or len(self._events) < 100:
            self._events[event.kind] += 1

    def figures(self) -> SessionFigures:
        secs = (self._last_ns - self._first_ns) / 1e9
        facts = self._last.facts if self._last else None
        skill = self._skill.figures(counted_sources(self._sources, self._temporal))
        means = {name: total / num if num else NAN for name, (total, num) in self._coherence.items()}
        return SessionFigures(
            num_ticks=self._num_ticks,
            duration_secs=secs,
            tick_hz=(self._num_ticks - 1) / secs if secs > 0 else NAN,
            num_overruns=self._num_overruns,
            tick_p50_ns=self._total.quantile(0.5),
            tick_p99_ns=self._total.quantile(0.99),
            overhead_p50_ns=self._overhead.quantile(0.5),
            overhead_p99_ns=self._overhead.quantile(0.99),
            night_ticks=self._night_ticks.figures(),
            ticks_in_state=tuple(self._states.most_common()),
            skill=skill,
            verdict=verdict(skill),
            missing=self._missing,
            sources=tuple(self._source_figures(tally) for tally in self._sources.values()),
            coherence=facts.coherence if facts else CoherenceFacts(),
            memory=facts.memory if facts else MemoryFacts(),
            sidecar=self._sidecar_figures(facts.memory if facts else MemoryFacts()),
            mean_coherence=CoherenceFacts(**means, num_ticks=self._num_ticks),
            learning=facts.learning if facts else LearningFacts(),
            num_sleeps=self._num_sleeps,
            sleeps=tuple(self._sleeps),
            num_events=tuple(self._events.most_common()),
            is_asleep=facts is not None and facts.state is State.DREAM,
            solving=self._solving.figures(),
            acting=self._acting.figures(),
            totals=dict(self._totals),
            skips=self._skips.figures(),
            budget=self._budget.figures(),
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: plain values, null where undefined."""
        plain: dict[str, Any] = to_plain(self.figures())
        for name in ("ticks_in_state", "num_events", "missing"):
            plain[name] = dict(plain[name])
        return plain

    def _add_sidecar(self, memory: MemoryFacts) -> None:
        if math.isfinite(memory.sidecar_error) and math.isfinite(memory.value_error):
            sidecar, value, num = self._sidecar
            self._sidecar = (sidecar + memory.sidecar_error, value + memory.value_error, num + 1)

    def _sidecar_figures(self, memory: MemoryFacts) -> SidecarFigures:
        sidecar, value, num = self._sidecar
        return SidecarFigures(
            num_bound=memory.num_bound,
            sidecar_error=sidecar / num if num else NAN,
            value_error=value / num if num else NAN,
            share=memory.sidecar_share,
        )

    def _add_source(self, source: SourceFacts) -> None:
        tally = self._sources.get(source.name)
        if tally is None:
            tally = self._sources[source.name] = _SourceTally(last=source)
        tally.last = source
        tally.num_readings += source.is_fresh
        self._skill.add(source)
        self._skips.add(source.name, source.skipped)

    def _source_figures(self, tally: _SourceTally) -> SourceFigures:
        last = tally.last
        return SourceFigures(
            name=last.name,
            status=last.status,
            reason=last.reason,
            num_readings=tally.num_readings,
            num_dropped=last.num_dropped,
            num_late=last.num_late,
            num_duplicate=last.num_duplicate,
            num_faults=last.num_faults,
            trust=last.trust,
            is_judged=last.is_judged,
            is_physical=last.name not in self._temporal,
            skill=self._skill.figures((last.name,)),
        )


@dataclass(slots=True)
class _SourceTally:
    last: SourceFacts
    num_readings: int = 0
