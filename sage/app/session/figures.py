"""The figures of a whole session, as the summary prints them and `--json` writes them.

Invariant: plain values only; NaN where nothing was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage.runtime.report import CoherenceFacts, LearningFacts, MemoryFacts, SleepOutcome, SleepReport

#: A night that examined something. A skipped or failed one is no dividing line between before and after.
NIGHTS = (SleepOutcome.ACCEPTED, SleepOutcome.ROLLED_BACK, SleepOutcome.UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillFigures:
    """Skill against persistence, by stretch. before_sleep: up to the first night; after_sleep: since the
    last; NaN without one.

    first_third and last_third: of the whole session.  gain_over_skip: see SkillSums.
    """

    num_scored: int
    overall: float
    before_sleep: float
    after_sleep: float
    first_third: float
    last_third: float
    gain_over_skip: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """One source. The counts are of the driver, at the end; trust is the last one."""

    name: str
    status: str
    reason: str
    num_readings: int
    num_dropped: int
    num_late: int
    num_duplicate: int
    num_faults: int
    trust: float
    skill: SkillFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFigures:
    """The whole session. mean_coherence: over the ticks where each figure was defined.  is_asleep: it ended
    in a night.
    """

    num_ticks: int
    duration_secs: float
    tick_hz: float
    num_overruns: int
    tick_p50_ns: float
    tick_p99_ns: float
    overhead_p50_ns: float
    overhead_p99_ns: float
    ticks_in_state: tuple[tuple[str, int], ...]
    skill: SkillFigures
    sources: tuple[SourceFigures, ...]
    coherence: CoherenceFacts
    mean_coherence: CoherenceFacts
    memory: MemoryFacts
    learning: LearningFacts
    num_sleeps: int
    sleeps: tuple[SleepReport, ...]
    is_asleep: bool
    num_events: tuple[tuple[str, int], ...]
