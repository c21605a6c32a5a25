"""The figures of a whole session, as the summary prints them and `--json` writes them.

Invariant: plain values only; NaN where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sage.app.session.acting_figures import WorldFigures
from sage.app.session.solving_figures import StreamFigures
from sage.app.terminal.budget import BudgetFigures
from sage.app.terminal.skill import SkillFigures
from sage.app.terminal.skips import SkipFigures
from sage.app.terminal.tick_times import NightTicks
from sage.runtime.report import CoherenceFacts, LearningFacts, MemoryFacts, SleepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """One source. The counts are the driver's, at the end; trust is the last value.

    is_judged: trust rests on evidence.
    is_physical: False for the clock and for recall, which the skill of the session leaves out.
    """

    name: str
    status: str
    reason: str
    num_readings: int
    num_dropped: int
    num_late: int
    num_duplicate: int
    num_faults: int
    trust: float
    is_judged: bool
    is_physical: bool
    skill: SkillFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarFigures:
    """Two predictors of the discounted reward on the same returns: mean squared errors of the session.

    num_bound: contexts bound to a return.  share: of the sidecar in the best mean of both, 0..1, at the end.
    """

    num_bound: int
    sidecar_error: float
    value_error: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFigures:
    """The whole session. skill: of the physical sources together.  verdict: one sentence on it.
    mean_coherence: over the ticks where each figure is defined.  is_asleep: the session ended during a night.
    missing: optional sensors that this machine lacks, by name, with the reason.
    solving: of each puzzle stream.  acting: of each world that moves by the loop's actions.
    totals: what environments counted, by the environment's name.
    budget: who got the segments.  night_ticks: tick times during nights, and while none ran.
    skips: why sources got no full attention and streams no segment, the most frequent reason first.
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
    verdict: str
    missing: tuple[tuple[str, str], ...]
    sources: tuple[SourceFigures, ...]
    coherence: CoherenceFacts
    mean_coherence: CoherenceFacts
    memory: MemoryFacts
    sidecar: SidecarFigures
    learning: LearningFacts
    num_sleeps: int
    sleeps: tuple[SleepReport, ...]
    is_asleep: bool
    num_events: tuple[tuple[str, int], ...]
    solving: tuple[StreamFigures, ...] = ()
    acting: tuple[WorldFigures, ...] = ()
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skips: tuple[SkipFigures, ...] = ()
    budget: BudgetFigures = field(default_factory=BudgetFigures)
    night_ticks: NightTicks = field(default_factory=NightTicks)
