"""The data of the HTML report, read from the store and averaged down to the size of a page.

Invariant: bounded. At most 1,500 points per line, fewer with many sources; the page states what a point
covers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sage.app.report.coherence import CoherenceSummary, summarize
from sage.app.report.memories import MemoryMap
from sage.app.report.plots import Plot, clipped, plots_of
from sage.app.report.puzzles import puzzle_plots
from sage.app.report.worlds import world_plots
from sage.app.store.boards import Board
from sage.app.store.episodes import EpisodeHistory
from sage.app.store.metrics_store import LevelHistory, MetricsStore, Series, SessionRecord
from sage.app.terminal.budget import BudgetFigures
from sage.app.terminal.skill import ALL_PHYSICAL, NIGHTS, SkillFigures, counted_sources
from sage.app.terminal.skips import SkipFigures
from sage.app.terminal.tick_times import NightTicks
from sage.runtime.report import Event, SleepReport, State

_MAX_POINTS, _MIN_POINTS = 1500, 240
#: At about six characters per number the page stays under 2 MB.
_MAX_VALUES = 250_000
_MAX_EVENTS = 300
_TICK_COLUMNS = (
    *(
        "state",
        "total_ns",
        "model_ns",
        "num_overruns",
        "xerr",
        "agreement",
        "agreement_null",
        "correctness",
        "coherence",
    ),
    *("num_kept", "num_transitions", "gate"),
)
_SOURCE_COLUMNS = (
    "status",
    "trust",
    "weight",
    "surprise",
    "error",
    "persistence_error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """An interval of time in one state."""

    start_secs: float
    end_secs: float
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """times_secs: (N,) since the first tick.  point_secs: time that one point covers.  skills: by source, and
    of the physical sources together.  levels: of the puzzle streams.  sleep_secs: when each sleep ended.
    memory: None where the session has no snapshot.  worlds: episodes of those that it acted in.  boards: the
    last puzzles in hand.
    """

    session: SessionRecord
    times_secs: np.ndarray
    point_secs: float
    tick_hz: float
    num_overruns: int
    plots: tuple[Plot, ...]
    timeline: tuple[tuple[str, tuple[Band, ...]], ...]
    skills: Mapping[str, SkillFigures]
    levels: tuple[LevelHistory, ...]
    sleeps: tuple[SleepReport, ...]
    sleep_secs: tuple[float, ...]
    events: tuple[Event, ...]
    coherence: tuple[CoherenceSummary, ...] = ()
    skips: tuple[SkipFigures, ...] = ()
    budget: BudgetFigures = field(default_factory=BudgetFigures)
    memory: MemoryMap | None = None
    worlds: tuple[EpisodeHistory, ...] = ()
    boards: tuple[Board, ...] = ()
    night_ticks: NightTicks = field(default_factory=NightTicks)

    @property
    def night_secs(self) -> tuple[float, ...]:
        """End of each sleep whose outcome is in NIGHTS, in seconds since the first tick."""
        return _nights(self.sleeps, self.sleep_secs)

    @property
    def is_asleep(self) -> bool:
        """Whether the session ended during a night."""
        states = self.timeline[0][1]
        return bool(states) and states[-1].state == State.DREAM.value


def collect(store: MetricsStore, session: SessionRecord, *, memory: MemoryMap | None = None) -> ReportData:
    """The data of a session. memory: shown as it is."""
    num_columns = len(_TICK_COLUMNS) + len(_SOURCE_COLUMNS) * len(session.sources)
    max_points = min(_MAX_POINTS, max(_MIN_POINTS, _MAX_VALUES // num_columns))
    names = [
        *_TICK_COLUMNS,
        *(f"{source}.{column}" for source in session.sources for column in _SOURCE_COLUMNS),
    ]
    series = store.series(session.id, names, max_points)
    times = (series.time_ns - series.time_ns[:1]) / 1e9
    span = float(times[-1]) if len(times) else 0.0
    sleeps, levels = store.sleeps(session.id), store.answers(session.id)
    worlds = store.episodes(session.id)
    sleep_secs = _times_of(series, store.sleep_ends(session.id), times)
    return ReportData(
        session=session,
        times_secs=times,
        point_secs=span / max(1, len(times) - 1),
        tick_hz=(int(series.num_ticks.sum()) - 1) / span if span > 0 else math.nan,
        num_overruns=int(np.nansum(series.values["num_overruns"])),
        plots=(
            *puzzle_plots(levels, series.ticks),
            *map(clipped, world_plots(worlds, series.ticks)),
            *plots_of(series, session.sources, times),
        ),
        timeline=_timeline(session, series, times),
        skills=_skills(store, session),
        levels=levels,
        sleeps=sleeps,
        sleep_secs=sleep_secs,
        events=store.events(session.id, limit=_MAX_EVENTS),
        coherence=summarize(store.coherence(session.id)),
        skips=store.skips(session.id),
        budget=store.budget(session.id),
        memory=memory,
        worlds=worlds,
        boards=store.boards(session.id),
        night_ticks=store.night_ticks(session.id),
    )


def bands(times: np.ndarray, states: Sequence[str | None], end_secs: float) -> tuple[Band, ...]:
    """Consecutive points of equal state as one band; each lasts until the next begins."""
    found: list[Band] = []
    starts = [index for index in range(len(states)) if index == 0 or states[index] != states[index - 1]]
    for start, following in zip(starts, [*starts[1:], None]):
        state = states[start]
        end = end_secs if following is None else float(times[following])
        if state is not None:
            found.append(Band(start_secs=float(times[start]), end_secs=end, state=state))
    return tuple(found)


def _timeline(
    session: SessionRecord, series: Series, times: np.ndarray
) -> tuple[tuple[str, tuple[Band, ...]], ...]:
    end = float(times[-1]) if len(times) else 0.0
    rows = [("state", "state"), *((source, f"{source}.status") for source in session.sources)]
    return tuple((label, bands(times, series.values[name].tolist(), end)) for label, name in rows)


def _nights(sleeps: Sequence[SleepReport], sleep_secs: Sequence[float]) -> tuple[float, ...]:
    return tuple(secs for report, secs in zip(sleeps, sleep_secs) if report.outcome in NIGHTS)


def _times_of(series: Series, ticks: Sequence[int], times: np.ndarray) -> tuple[float, ...]:
    """Times of ticks, to the resolution of one point."""
    if not len(times):
        return tuple(0.0 for _ in ticks)
    positions = np.minimum(np.searchsorted(series.ticks, ticks), len(times) - 1)
    return tuple(float(times[position]) for position in positions)


def _skills(store: MetricsStore, session: SessionRecord) -> dict[str, SkillFigures]:
    """By source, as in the session's summary, and of the physical ones together."""
    table = store.skill_table(session.id)
    skills = {source: table.figures((source,)) for source in session.sources}
    if session.sources:
        skills[ALL_PHYSICAL] = table.figures(counted_sources(session.sources, session.temporal))
    return skills
