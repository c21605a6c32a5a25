"""What a session learned to solve: plots of its answers over time, and tables of its nights by level.

Invariant: a share is of answers that had a result, or of the held-out puzzles of a night's examination.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage.app.report.plots import Line, Plot
from sage.app.store.metrics_store import LevelHistory
from sage.runtime.report import SleepReport

SECTION = "Puzzles"
#: Answers that a share is of, and a mean of segments.
NUM_RECENT, NUM_AVERAGED = 50, 10


def puzzle_plots(levels: Sequence[LevelHistory], ticks: np.ndarray) -> tuple[Plot, ...]:
    """Empty without answers. ticks: (N,) of the page's points."""
    answered = [level for level in levels if len(level.ticks)]
    if not answered:
        return ()
    labels = labels_of(answered)
    solved = tuple(
        Line(label=label, values=100 * level.trailing_share(ticks, NUM_RECENT), tone=tone)
        for tone, (label, level) in enumerate(zip(labels, answered))
    )
    segments = tuple(
        Line(label=label, values=level.trailing_segments(ticks, NUM_AVERAGED), tone=tone)
        for tone, (label, level) in enumerate(zip(labels, answered))
    )
    return (
        Plot(
            id="solved",
            section=SECTION,
            title="Puzzles solved",
            note=f"Right answers of the last {NUM_RECENT} of each level.",
            lines=solved,
            unit="%",
            low=0.0,
            high=100.0,
        ),
        Plot(
            id="segments",
            section=SECTION,
            title="Reasoning per answer",
            note=f"Segments of the model for each answer, mean of the last {NUM_AVERAGED} of each level.",
            lines=segments,
            unit="segments",
            low=0.0,
        ),
    )


def labels_of(levels: Sequence[LevelHistory]) -> list[str]:
    """A level's name, with its stream where the session has several."""
    is_single = len({level.stream for level in levels}) == 1
    return [level.name if is_single else f"{level.stream}: {level.name}" for level in levels]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgettingTable:
    """Shares solved of the held-out puzzles, in force after each examination: shares[row][column], NaN where
    a level was not examined.

    rows: "before night 1", "after night 1", ...  forgotten: by level, the best share before the last one less
    the last, 0 where it is the best; NaN with fewer than two.
    """

    stream: str
    levels: tuple[str, ...]
    rows: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    forgotten: tuple[float, ...]


def forgetting_tables(sleeps: Sequence[SleepReport]) -> tuple[ForgettingTable, ...]:
    """One for each stream with an examined night. A night that was not accepted leaves the shares before
    it.
    """
    streams = dict.fromkeys(report.stream for report in sleeps if report.stream and report.levels)
    return tuple(
        _forgetting_table(stream, [each for each in sleeps if each.stream == stream and each.levels])
        for stream in streams
    )


def _forgetting_table(stream: str, nights: Sequence[SleepReport]) -> ForgettingTable:
    levels = tuple(dict.fromkeys(level.level for report in nights for level in report.levels))
    rows: list[str] = []
    shares: list[tuple[float, ...]] = []
    for number, report in enumerate(nights, start=1):
        found = {level.level: level for level in report.levels}
        if not rows:
            rows.append(f"before night {number}")
            shares.append(tuple(found[name].before if name in found else math.nan for name in levels))
        is_kept = report.outcome.value == "accepted"
        rows.append(f"after night {number}, {report.outcome.value.replace('_', ' ')}")
        shares.append(
            tuple(
                (found[name].after if is_kept else found[name].before) if name in found else math.nan
                for name in levels
            )
        )
    return ForgettingTable(
        stream=stream,
        levels=levels,
        rows=tuple(rows),
        shares=tuple(shares),
        forgotten=tuple(_forgotten(np.array(column)) for column in zip(*shares)),
    )


def _forgotten(shares: np.ndarray) -> float:
    known = shares[np.isfinite(shares)]
    return math.nan if len(known) < 2 else float(max(0.0, known[:-1].max() - known[-1]))
