"""The figures of a stretch of ticks, by the paths under which trackers show them.

`loop/*` of the ticks, `sources/NAME/*` of the last tick, `coherence/*`, `memory/*`, `learning/*`,
`puzzles/STREAM/LEVEL/solved`, `worlds/WORLD/*`, `nights/STREAM/*` of the last night, `events/KIND`: how many
so far. Times are in ms. NaN where a figure is undefined.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

#: The name of the observation model's nights, whose reports name no stream.
SENSES = "senses"


class SessionFigures:
    """Collects reports; `take` returns the figures since the last call."""

    def __init__(self) -> None:
        self._total_ns: list[int] = []
        self._num_overruns = 0
        self._first_ns = 0
        self._since_ns: int | None = None
        self._last: TickReport | None = None
        self._events: Counter[str] = Counter()
        self._nights: dict[str, float] = {}
        self._windows: dict[str, float] = {}

    def note_tick(self, report: TickReport) -> None:
        if self._last is None:
            self._first_ns = report.facts.time_ns
        self._total_ns.append(report.timing.total_ns)
        self._num_overruns += report.timing.is_overrun
        self._last = report

    def note_event(self, event: Event) -> None:
        self._events[event.kind] += 1

    def note_sleep(self, report: SleepReport) -> None:
        place = f"nights/{report.stream or SENSES}"
        self._nights[f"{place}/{report.outcome.value}"] = (
            self._nights.get(f"{place}/{report.outcome.value}", 0.0) + 1
        )
        self._nights[f"{place}/gain"] = report.gain
        for level in report.levels:
            self._nights[f"{place}/{level.level}/before"] = level.before
            self._nights[f"{place}/{level.level}/after"] = level.after

    def note_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        for row in rows:
            place = f"coherence/{row.modules or 'all'}/{row.metric}"
            self._windows[place] = row.value
            self._windows[f"{place}.z"] = row.z

    def take(self) -> tuple[int, dict[str, float]]:
        """The last tick's number, and figures by path. ValueError before the first tick."""
        if self._last is None:
            raise ValueError("no tick was reported: call note_tick first")
        figures = self._of_ticks() | _of_last(self._last) | self._nights | self._windows
        figures |= {f"events/{kind}": float(num) for kind, num in self._events.items()}
        self._since_ns = self._last.facts.time_ns
        self._total_ns.clear()
        self._num_overruns = 0
        return self._last.facts.tick, figures

    def _of_ticks(self) -> dict[str, float]:
        assert self._last is not None
        if not self._total_ns:
            return {}
        total_ms = np.array(self._total_ns) / 1e6
        since_ns = self._since_ns if self._since_ns is not None else self._first_ns
        num_periods = len(total_ms) - (self._since_ns is None)
        span_secs = (self._last.facts.time_ns - since_ns) / 1e9
        return {
            "loop/tick_ms_p50": float(np.quantile(total_ms, 0.5)),
            "loop/tick_ms_p99": float(np.quantile(total_ms, 0.99)),
            "loop/rate_hz": num_periods / span_secs if span_secs > 0 else math.nan,
            "loop/overruns": float(self._num_overruns),
        }


def _of_last(report: TickReport) -> dict[str, float]:
    facts = report.facts
    figures = {
        "loop/segments": float(facts.num_segments),
        "loop/value": facts.value,
        "memory/kept": float(facts.memory.num_kept),
        "memory/seen": float(facts.memory.num_seen),
        "memory/transitions": float(facts.memory.num_transitions),
        "learning/loss": facts.learning.loss,
        "learning/practice_steps": float(facts.learning.num_practice_steps),
        "learning/gate": facts.learning.gate,
        "learning/weights_version": float(facts.learning.weights_version),
        "posture/confidence": facts.posture.confidence,
        "posture/breadth": facts.posture.breadth,
    }
    for name in ("xerr", "agreement", "agreement_null", "correctness", "coherence"):
        figures[f"coherence/{name}"] = getattr(facts.coherence, name)
    for source in facts.sources:
        place = f"sources/{source.name}"
        figures[f"{place}/trust"] = source.trust if source.is_judged else math.nan
        figures[f"{place}/weight"] = source.weight
        figures[f"{place}/age_ms"] = source.age_ns / 1e6 if source.age_ns >= 0 else math.nan
        figures[f"{place}/surprise"] = source.surprise
        figures[f"{place}/dropped"] = float(source.num_dropped)
        figures[f"{place}/faults"] = float(source.num_faults)
    for stream in facts.solving:
        place = f"puzzles/{stream.stream}"
        figures[f"{place}/level"] = float(stream.level)
        figures[f"{place}/steps"] = float(stream.num_steps)
        figures[f"{place}/teacher_trust"] = stream.teacher_trust
        for level in stream.levels:
            figures[f"{place}/{level.name}/solved"] = level.recent
            figures[f"{place}/{level.name}/answered"] = float(level.num_answered)
    for world in facts.acting:
        place = f"worlds/{world.world}"
        figures[f"{place}/return"] = world.last_return
        figures[f"{place}/episodes"] = float(world.num_episodes)
    return figures
