"""Which symptoms a session shows: from its reports, tick by tick, to a set of names, sampled and debounced.

Invariant: a symptom appears after NUM_SAMPLES samples in a row that show it, distrust after NUM_DOUBTED, and
disappears after NUM_SAMPLES that do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sage.app.diagnosis.causes import (
    CPU_WAIT,
    DISTRUSTED,
    FAULTED,
    NO_ROOM,
    OFFSET,
    OVERRUN,
    SILENT,
    STORE_FAILS,
    STUCK,
    SourceAbout,
    symptom_of,
)
from sage.app.diagnosis.machine import Machine
from sage.runtime.report import SourceFacts, State, TickReport

NUM_SAMPLES = 2
#: More than 5 s at a sample a second: sources of a healthy host are doubted for up to 4.4 s
#: (`sage bench fusion --suite host`).
NUM_DOUBTED = 6
LEAST_TRUST = 0.5
#: A source is silent after so many of its periods, at least LEAST_SILENT_SECS. The periods are those of the
#: slowest source, up to MOST_SILENT_SECS, so that sources that stop together are silent together. Before it
#: has delivered NUM_REGULAR readings, and within SILENT_GAPS of its longest gap so far, it is not silent.
SILENT_PERIODS, LEAST_SILENT_SECS, MOST_SILENT_SECS = 3, 1.0, 3.0
NUM_REGULAR, SILENT_GAPS = 8, 3
#: A fresh reading is so much older than its period, or more: its clock is off.
OFFSET_SECS = 0.4
MOST_WAIT, MOST_OVERRUNS = 0.3, 0.5


@dataclass(slots=True)
class _Arrivals:
    """When the readings of one source came, on the loop's clock. silent_ns: a gap that is silence.
    is_explained: it had another symptom since it was last trusted, which its trust is to recover from first.
    """

    silent_ns: int
    offset_ns: int
    is_watched: bool
    num: int = 0
    last_ns: int = 0
    longest_ns: int = 0
    age_ns: int = 0
    is_explained: bool = False

    def add(self, time_ns: int, age_ns: int) -> None:
        gap_ns = time_ns - self.last_ns
        if self.num and gap_ns <= self.limit_ns:
            self.longest_ns = max(self.longest_ns, gap_ns)
        self.num += 1
        self.last_ns, self.age_ns = time_ns, age_ns

    @property
    def limit_ns(self) -> int:
        return max(self.silent_ns, SILENT_GAPS * self.longest_ns)

    def is_silent(self, now_ns: int) -> bool:
        return self.is_watched and self.num >= NUM_REGULAR and now_ns - self.last_ns > self.limit_ns

    @property
    def is_off(self) -> bool:
        return self.num > 0 and self.age_ns > self.offset_ns


class SymptomMeter:
    """`take` each tick, `sample` from time to time.

    has_real_time: ticks that overrun count. On a simulated clock they do not: equal runs have equal symptoms.
    """

    def __init__(
        self, sources: Sequence[SourceAbout], machine: Machine, *, has_real_time: bool = True
    ) -> None:
        slowest_secs = max((each.period_ns for each in sources), default=0) * 1e-9
        shared_secs = min(MOST_SILENT_SECS, max(LEAST_SILENT_SECS, SILENT_PERIODS * slowest_secs))
        self._arrivals = [
            _Arrivals(
                silent_ns=round(max(shared_secs * 1e9, SILENT_PERIODS * each.period_ns)),
                offset_ns=round(OFFSET_SECS * 1e9 + 2 * each.period_ns),
                is_watched=each.is_physical or bool(each.lineage),
            )
            for each in sources
        ]
        self._wanted = {symptom_of(each.name, DISTRUSTED): NUM_DOUBTED for each in sources}
        self._machine = machine
        self._has_real_time = has_real_time
        self._num_faults: list[int] | None = None
        self._last: TickReport | None = None
        self._num_ticks = self._num_overruns = 0
        self._streaks: dict[str, int] = {}
        self.present: frozenset[str] = frozenset()

    def take(self, report: TickReport) -> None:
        """One tick's facts: a comparison a source."""
        facts = report.facts
        for arrivals, source in zip(self._arrivals, facts.sources):
            if source.is_fresh:
                arrivals.add(facts.time_ns, source.age_ns)
        self._num_ticks += 1
        self._num_overruns += self._has_real_time and report.timing.is_overrun
        self._last = report

    def sample(self) -> frozenset[str]:
        """The symptoms that are present, debounced."""
        shown = self._shown()
        present = set(self.present)
        for name in shown | self.present:
            streak = self._streaks.get(name, 0)
            streak = max(streak, 0) + 1 if name in shown else min(streak, 0) - 1
            self._streaks[name] = streak
            if streak >= self._wanted.get(name, NUM_SAMPLES):
                present.add(name)
            elif streak <= -NUM_SAMPLES:
                present.discard(name)
        for name in [each for each in self._streaks if each not in shown and each not in present]:
            del self._streaks[name]
        self.present = frozenset(present)
        return self.present

    def _shown(self) -> set[str]:
        """What the ticks since the last sample show."""
        assert self._last is not None
        facts, shown = self._last.facts, set()
        before = self._num_faults or [source.num_faults for source in facts.sources]
        for index, source in enumerate(facts.sources):
            for what in self._of_source(index, source, facts.time_ns, before[index]):
                shown.add(symptom_of(source.name, what))
        self._num_faults = [source.num_faults for source in facts.sources]
        if self._machine.wait_share() > MOST_WAIT:
            shown.add(CPU_WAIT)
        elif self._num_overruns > MOST_OVERRUNS * self._num_ticks and facts.state is State.WAKE:
            shown.add(OVERRUN)
        self._num_ticks = self._num_overruns = 0
        if not self._machine.has_room():
            shown.add(NO_ROOM)
        if self._machine.store_problem():
            shown.add(STORE_FAILS)
        return shown

    def _of_source(self, index: int, source: SourceFacts, now_ns: int, num_faults: int) -> list[str]:
        if source.status in ("exhausted", "closed"):
            return []
        arrivals = self._arrivals[index]
        is_silent = arrivals.is_silent(now_ns)
        is_stuck = source.reason == STUCK
        is_faulted = source.status == "quarantined" or source.num_faults > num_faults
        is_off = arrivals.is_off and not is_silent
        is_doubted = source.is_judged and math.isfinite(source.trust) and source.trust < LEAST_TRUST
        has_other = is_silent or is_stuck or is_faulted or is_off
        arrivals.is_explained = has_other or (arrivals.is_explained and is_doubted)
        whether = {
            SILENT: is_silent,
            FAULTED: is_faulted,
            STUCK: is_stuck,
            OFFSET: is_off,
            DISTRUSTED: is_doubted and not arrivals.is_explained,
        }
        return [what for what, is_shown in whether.items() if is_shown]
