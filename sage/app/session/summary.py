"""What a session came to, added up while it runs: an Instrument that needs the same memory after a week as
after a minute.

Invariant: every figure is of scored readings and real ticks; what was never measured is NaN, shown as a dash,
null in JSON.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sage.app.session.figures import NIGHTS, SessionFigures, SkillFigures, SourceFigures
from sage.app.terminal.skill import SkillPhases, SkillSums
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

_MAX_SLEEPS = 100
_COHERENCE = ("xerr", "agreement", "agreement_null", "correctness", "coherence")


class SessionSummary:
    """Listens to a session; `figures()` at any time, `print` at its end."""

    def __init__(self) -> None:
        self._num_ticks = self._num_overruns = self._num_sleeps = 0
        self._first_ns = self._last_ns = 0
        self._total, self._overhead = LogHistogram(), LogHistogram()
        self._states: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._skill = _SkillTally()
        self._sources: dict[str, _SourceTally] = {}
        self._coherence = dict.fromkeys(_COHERENCE, (0.0, 0))
        self._last: TickReport | None = None
        self._sleeps: list[SleepReport] = []
        self._has_slept = False

    def on_tick(self, report: TickReport) -> None:
        facts, timing = report.facts, report.timing
        if self._last is None:
            self._first_ns = facts.time_ns
        self._last, self._last_ns = report, facts.time_ns
        self._num_ticks += 1
        self._num_overruns += timing.is_overrun
        self._total.add(timing.total_ns)
        self._overhead.add(timing.overhead_ns)
        self._states[facts.state.value] += 1
        self._skill.phases.next_tick()
        for source in facts.sources:
            self._add_source(source)
        for name, (total, num) in self._coherence.items():
            value = getattr(facts.coherence, name)
            if math.isfinite(value):
                self._coherence[name] = (total + value, num + 1)

    def on_sleep(self, report: SleepReport) -> None:
        self._num_sleeps += 1
        self._sleeps = [*self._sleeps[1 - _MAX_SLEEPS :], report]
        if report.outcome in NIGHTS:
            self._has_slept = True
            for tally in (self._skill, *(source.skill for source in self._sources.values())):
                tally.sleep()

    def on_event(self, event: Event) -> None:
        if event.kind in self._events or len(self._events) < 100:
            self._events[event.kind] += 1

    def figures(self) -> SessionFigures:
        secs = (self._last_ns - self._first_ns) / 1e9
        facts = self._last.facts if self._last else None
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
            ticks_in_state=tuple(self._states.most_common()),
            skill=self._skill.figures(self._has_slept),
            sources=tuple(tally.figures(self._has_slept) for tally in self._sources.values()),
            coherence=facts.coherence if facts else CoherenceFacts(),
            memory=facts.memory if facts else MemoryFacts(),
            mean_coherence=CoherenceFacts(**means, num_ticks=self._num_ticks),
            learning=facts.learning if facts else LearningFacts(),
            num_sleeps=self._num_sleeps,
            sleeps=tuple(self._sleeps),
            num_events=tuple(self._events.most_common()),
            is_asleep=facts is not None and facts.state is State.DREAM,
        )

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: plain values, null where undefined."""
        plain: dict[str, Any] = to_plain(self.figures())
        for name in ("ticks_in_state", "num_events"):
            plain[name] = dict(plain[name])
        return plain

    def _add_source(self, source: SourceFacts) -> None:
        tally = self._sources.get(source.name)
        if tally is None:
            tally = self._sources[source.name] = _SourceTally(last=source)
            if self._has_slept:  # it has no time before the first night
                tally.skill.before_sleep = SkillSums()
        tally.last = source
        tally.num_readings += source.is_fresh
        tally.skill.phases.next_tick()
        tally.skill.add(source)
        self._skill.add(source)


@dataclass(slots=True)
class _SkillTally:
    overall: SkillSums = field(default_factory=SkillSums)
    before_sleep: SkillSums | None = None
    since_sleep: SkillSums = field(default_factory=SkillSums)
    phases: SkillPhases = field(default_factory=SkillPhases)

    def add(self, source: SourceFacts) -> None:
        if self.overall.add(source):
            self.since_sleep.add(source)
            self.phases.add(source)

    def sleep(self) -> None:
        if self.before_sleep is None:
            self.before_sleep = self.since_sleep
        self.since_sleep = SkillSums()

    def figures(self, has_slept: bool) -> SkillFigures:
        return SkillFigures(
            num_scored=int(self.overall.num_scored),
            overall=self.overall.skill,
            before_sleep=self.before_sleep.skill if self.before_sleep else NAN,
            after_sleep=self.since_sleep.skill if has_slept else NAN,
            first_third=self.phases.first_third().skill,
            last_third=self.phases.last_third().skill,
            gain_over_skip=self.overall.gain_over_skip,
        )


@dataclass(slots=True)
class _SourceTally:
    last: SourceFacts
    num_readings: int = 0
    skill: _SkillTally = field(default_factory=_SkillTally)

    def figures(self, has_slept: bool) -> SourceFigures:
        last = self.last
        return SourceFigures(
            name=last.name,
            status=last.status,
            reason=last.reason,
            num_readings=self.num_readings,
            num_dropped=last.num_dropped,
            num_late=last.num_late,
            num_duplicate=last.num_duplicate,
            num_faults=last.num_faults,
            trust=last.trust,
            skill=self.skill.figures(has_slept),
        )


class LogHistogram:
    """Quantiles of durations to 1%, in a bounded number of counts: bin k holds [1.02^k, 1.02^(k+1)) ns."""

    _LOG_BASE = math.log(1.02)

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._num = 0

    def add(self, value_ns: int) -> None:
        self._counts[int(math.log(max(1, value_ns)) / self._LOG_BASE)] += 1
        self._num += 1

    def quantile(self, share: float) -> float:
        """The middle of the bin that holds the quantile; NaN of nothing."""
        rank = share * (self._num - 1)
        num_below = 0
        for index in sorted(self._counts):
            num_below += self._counts[index]
            if num_below > rank:
                return math.exp((index + 0.5) * self._LOG_BASE)
        return NAN
