"""The state of the live view: the last report, and recent rates, skill, surprise and coherence.

Invariant: bounded; of recent time, but for the totals; the whole session is in the summary and the store.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field

from sage.app.live.totals import LiveTotals
from sage.app.live.work import WorkSums
from sage.app.terminal.figures import finite_mean
from sage.app.terminal.skill import SkillSums
from sage.mailbox.hub import HubStatistics
from sage.runtime.report import NAN, ActingFacts, Event, SleepReport, SolvingFacts, SourceFacts, TickReport

RATE_WINDOW_NS = 5_000_000_000
_SKILL_READINGS = 200
_SPARK_NS = 500_000_000
_NUM_SPARKS = 120
_NUM_EVENTS = 50
_NUM_EPISODES = 20
_SMOOTHING = 0.1


class RateMeter:
    """Events per second over the last 5 s of the session's clock."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=4096)

    def add(self, time_ns: int) -> None:
        self._times_ns.append(time_ns)

    def hz(self, now_ns: int) -> float:
        while self._times_ns and now_ns - self._times_ns[0] > RATE_WINDOW_NS:
            self._times_ns.popleft()
        if len(self._times_ns) < 2:
            return NAN
        return (len(self._times_ns) - 1) * 1e9 / max(1, self._times_ns[-1] - self._times_ns[0])


class SparkSeries:
    """Means over 0.5 s each, of the last minute."""

    def __init__(self) -> None:
        self._points: deque[float] = deque(maxlen=_NUM_SPARKS)
        self._span = -1
        self._sum = 0.0
        self._num = 0

    def add(self, time_ns: int, value: float) -> None:
        span = time_ns // _SPARK_NS
        if span != self._span and self._span >= 0:
            self._points.append(self._mean())
            self._sum, self._num = 0.0, 0
        self._span = span
        if math.isfinite(value):
            self._sum += value
            self._num += 1

    def values(self) -> list[float]:
        """Oldest first; the last point is still incomplete."""
        return [*self._points, self._mean()]

    def _mean(self) -> float:
        return self._sum / self._num if self._num else NAN


@dataclass(slots=True)
class SourceMemory:
    facts: SourceFacts
    rate: RateMeter = field(default_factory=RateMeter)
    skill: SkillSums = field(default_factory=SkillSums)
    surprise: float = NAN

    def take(self, facts: SourceFacts, time_ns: int) -> None:
        self.facts = facts
        if facts.is_fresh:
            self.rate.add(time_ns)
        if self.skill.add(facts):
            self.skill.decay(1 - 1 / _SKILL_READINGS)
        if math.isfinite(facts.surprise):
            step = facts.surprise - self.surprise
            self.surprise = facts.surprise if math.isnan(self.surprise) else self.surprise + _SMOOTHING * step


@dataclass(slots=True)
class AnswerMeans:
    """Running means over the recent answers of one puzzle stream. num_open: of the last answer."""

    num_segments: float = NAN
    confidence: float = NAN
    num_open: tuple[int, ...] = ()

    def take(self, facts: SolvingFacts) -> None:
        for answer in facts.answers:
            self.num_segments = _smoothed(self.num_segments, answer.num_segments)
            self.confidence = _smoothed(self.confidence, answer.confidence)
            self.num_open = answer.num_open


@dataclass(slots=True)
class ReturnMeans:
    """The last episodes of one world: (return, success), success NaN where the world states none."""

    last: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_NUM_EPISODES))

    def take(self, facts: ActingFacts) -> None:
        if facts.reset and facts.num_episodes and math.isfinite(facts.last_return):
            self.last.append((facts.last_return, facts.last_success))

    @property
    def median(self) -> float:
        """NaN without an episode."""
        return statistics.median(each for each, _ in self.last) if self.last else NAN

    @property
    def success(self) -> float:
        """Share that reached their goal."""
        return sum(each for _, each in self.last) / len(self.last) if self.last else NAN


@dataclass(slots=True)
class LiveState:
    """Updated by `take`, drawn by the screen. skill: over about the last 200 scored readings of a source."""

    title: str = ""
    report: TickReport | None = None
    first_ns: int = 0
    ticks: RateMeter = field(default_factory=RateMeter)
    sources: dict[str, SourceMemory] = field(default_factory=dict)
    surprise: SparkSeries = field(default_factory=SparkSeries)
    coherence: SparkSeries = field(default_factory=SparkSeries)
    num_overruns: int = 0
    mean_tick_ns: float = NAN
    mean_model_ns: float = NAN
    sleep: SleepReport | None = None
    num_sleeps: int = 0
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_NUM_EVENTS))
    notices: tuple[str, ...] = ()
    solving: dict[str, AnswerMeans] = field(default_factory=dict)
    returns: dict[str, ReturnMeans] = field(default_factory=dict)
    work: dict[str, WorkSums] = field(default_factory=dict)
    mailboxes: HubStatistics | None = None
    #: Session time per real time since the previous drawing: 1 unless a replay runs fast.
    speed: float = NAN
    _drawn_at: tuple[int, int] | None = None

    def measure_speed(self, real_ns: int) -> None:
        """Call at each drawing with the time of the real clock."""
        if self.report is None:
            return
        run_ns = self.report.facts.time_ns
        if self._drawn_at is not None and real_ns > self._drawn_at[1]:
            self.speed = _smoothed(self.speed, (run_ns - self._drawn_at[0]) / (real_ns - self._drawn_at[1]))
        self._drawn_at = (run_ns, real_ns)

    def take(self, item: TickReport | SleepReport | Event) -> None:
        match item:
            case TickReport():
                self._take_tick(item)
            case SleepReport():
                self.sleep, self.num_sleeps = item, self.num_sleeps + 1
            case Event():
                self.events.append(item)

    def add(self, totals: LiveTotals) -> None:
        """Of reports that came before the next one given to `take`."""
        self.num_overruns += totals.num_overruns
        self.num_sleeps += totals.num_sleeps
        self.sleep = totals.sleep or self.sleep
        for name, sums in totals.work.items():
            self.work.setdefault(name, WorkSums(facts=sums.facts)).add(sums)

    def _take_tick(self, report: TickReport) -> None:
        facts, timing = report.facts, report.timing
        if self.report is None:
            self.first_ns = facts.time_ns
        self.report = report
        self.ticks.add(facts.time_ns)
        self.num_overruns += timing.is_overrun
        self.mean_tick_ns = _smoothed(self.mean_tick_ns, timing.total_ns)
        self.mean_model_ns = _smoothed(self.mean_model_ns, timing.model_ns)
        for source in facts.sources:
            memory = self.sources.setdefault(source.name, SourceMemory(facts=source))
            memory.take(source, facts.time_ns)
        for solving in facts.solving:
            self.solving.setdefault(solving.stream, AnswerMeans()).take(solving)
        for world in facts.acting:
            self.returns.setdefault(world.world, ReturnMeans()).take(world)
        for work in facts.work:
            self.work.setdefault(work.name, WorkSums(facts=work)).take(work)
        self.surprise.add(facts.time_ns, finite_mean(source.surprise for source in facts.sources))
        self.coherence.add(facts.time_ns, facts.coherence.coherence)


def _smoothed(mean: float, value: float) -> float:
    return value if math.isnan(mean) else mean + _SMOOTHING * (value - mean)
