"""What the HTML report shows, read from the store: few enough points for a page, whatever the session's
length.

Invariant: bounded. At most 1,500 points a line, and fewer where there are many sources; the page says what a
point stands for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.app.report.plots import Plot, plots_of
from sage.app.session.figures import NIGHTS
from sage.app.store.metrics_store import MetricsStore, Series, SessionRecord
from sage.runtime.report import Event, SleepReport, State

_MAX_POINTS, _MIN_POINTS = 1500, 240
#: Numbers on a page: at about six characters each this keeps it under 2 MB.
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
    *("num_kept", "num_transitions", "loss", "gate"),
)
_SOURCE_COLUMNS = (
    "status",
    "trust",
    "weight",
    "surprise",
    "error",
    "persistence_error",
    "skip_error",
    "num_scored",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch of time in one state."""

    start_secs: float
    end_secs: float
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillRow:
    """Skill by stretch, as in the session's summary, but with its edges at plotted points."""

    name: str
    num_scored: int
    overall: float
    first_third: float
    last_third: float
    before_sleep: float
    after_sleep: float
    gain_over_skip: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """times_secs: (N,) since the first tick.  point_secs: time a point stands for.  sleep_secs: when each
    sleep was reported.
    """

    session: SessionRecord
    times_secs: np.ndarray
    point_secs: float
    tick_hz: float
    num_overruns: int
    plots: tuple[Plot, ...]
    timeline: tuple[tuple[str, tuple[Band, ...]], ...]
    skills: tuple[SkillRow, ...]
    sleeps: tuple[SleepReport, ...]
    sleep_secs: tuple[float, ...]
    events: tuple[Event, ...]

    @property
    def night_secs(self) -> tuple[float, ...]:
        """When each sleep that examined something was reported: what lies before and after one can be
        compared.
        """
        return _nights(self.sleeps, self.sleep_secs)

    @property
    def is_asleep(self) -> bool:
        """Whether the last tick was in a night."""
        states = self.timeline[0][1]
        return bool(states) and states[-1].state == State.DREAM.value


def collect(store: MetricsStore, session: SessionRecord) -> ReportData:
    num_columns = len(_TICK_COLUMNS) + len(_SOURCE_COLUMNS) * len(session.sources)
    max_points = min(_MAX_POINTS, max(_MIN_POINTS, _MAX_VALUES // num_columns))
    names = [
        *_TICK_COLUMNS,
        *(f"{source}.{column}" for source in session.sources for column in _SOURCE_COLUMNS),
    ]
    series = store.series(session.id, names, max_points)
    times = (series.time_ns - series.time_ns[:1]) / 1e9
    span = float(times[-1]) if len(times) else 0.0
    sleeps = store.sleeps(session.id)
    sleep_secs = _times_of(series, [report.tick for report in sleeps], times)
    return ReportData(
        session=session,
        times_secs=times,
        point_secs=span / max(1, len(times) - 1),
        tick_hz=(int(series.num_ticks.sum()) - 1) / span if span > 0 else math.nan,
        num_overruns=int(np.nansum(series.values["num_overruns"])),
        plots=plots_of(series, session.sources, times),
        timeline=_timeline(session, series, times),
        skills=_skills(session, series, times, _nights(sleeps, sleep_secs)),
        sleeps=sleeps,
        sleep_secs=sleep_secs,
        events=store.events(session.id, limit=_MAX_EVENTS),
    )


def bands(times: np.ndarray, states: Sequence[str | None], end_secs: float) -> tuple[Band, ...]:
    """Equal neighbours as one stretch; each lasts until the next begins."""
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
    """When each tick was, to one point."""
    if not len(times):
        return tuple(0.0 for _ in ticks)
    positions = np.minimum(np.searchsorted(series.ticks, ticks), len(times) - 1)
    return tuple(float(times[position]) for position in positions)


def _skills(
    session: SessionRecord, series: Series, times: np.ndarray, night_secs: tuple[float, ...]
) -> tuple[SkillRow, ...]:
    """A row a source, and one of all of them where there are several."""
    if not len(times) or not session.sources:
        return ()
    never = np.zeros(len(times), dtype=bool)
    lived = (series.ticks - series.ticks[0]) / max(
        1, series.ticks[-1] - series.ticks[0]
    )  # (N,) 0 at the first tick, 1 at the last
    stretches = {
        "overall": ~never,
        # Thirds of ticks, as in the summary: a night, at half the rate, would stretch one of time.
        "first_third": lived <= 1 / 3,
        "last_third": lived >= 2 / 3,
        "before_sleep": times <= night_secs[0] if night_secs else never,
        "after_sleep": times > night_secs[-1] if night_secs else never,
    }
    groups = [(source, [source]) for source in session.sources]
    if len(groups) > 1:
        groups.append(("all sources", list(session.sources)))
    return tuple(_skill_row(name, sources, series, stretches) for name, sources in groups)


def _skill_row(
    name: str, sources: Sequence[str], series: Series, stretches: dict[str, np.ndarray]
) -> SkillRow:
    error, persistence, skip, scored = (
        np.stack([series.values[f"{source}.{column}"] for source in sources])  # (sources, N)
        for column in ("error", "persistence_error", "skip_error", "num_scored")
    )
    has_both = np.isfinite(error) & np.isfinite(skip)
    skills = {
        stretch: _skill(error[:, chosen], persistence[:, chosen]) for stretch, chosen in stretches.items()
    }
    return SkillRow(
        name=name,
        num_scored=int(np.nansum(scored)),
        gain_over_skip=_skill(error[has_both], skip[has_both]),
        **skills,
    )


def _skill(error: np.ndarray, baseline: np.ndarray) -> float:
    total = float(np.nansum(baseline))
    return 1 - float(np.nansum(error)) / total if total > 0 else math.nan
