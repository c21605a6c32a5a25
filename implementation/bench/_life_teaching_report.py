"""Tables and bars of the suite self-teaching."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import harness
import numpy as np
from _crossed import crossed_interval
from _life_teaching import Judged, Night

if TYPE_CHECKING:
    from _life_teaching_lives import Lives

NO_SLEEP = "no sleep"
TARGET, GAP_SHARE, EASY_BAR = 0.70, 0.5, 0.998
FEWEST_SEEDS = 3


def difference(first: Sequence[Judged], second: Sequence[Judged]) -> tuple[float, float, float]:
    """Mean difference of shares solved over puzzles and seeds, first minus second, and its 95% interval over
    both. One entry a seed, in the same order; pairs are puzzles of a seed.
    """
    solved = [
        np.array([np.isfinite(each.way.calls_to_solve) for each in side], dtype=float)
        for side in (first, second)
    ]
    return crossed_interval(solved[0] - solved[1])


def table(lives: Lives, names: Sequence[str], seeds: Sequence[int]) -> harness.TextTable:
    def row(name: str, night: str, judged: Judged | None, facts: Night | None) -> tuple[str, ...]:
        cost = ("", "", "", "")
        if facts is not None:
            cost = (
                str(facts.num_solved),
                f"{facts.steps:,}",
                f"{facts.search_secs:.0f}",
                f"{facts.train_secs:.0f}",
            )
        if judged is None:
            return (name, night, "-", "-", "-", *cost)
        way = judged.way
        return (
            name,
            night,
            f"{100 * way.solved:.1f}",
            f"{100 * way.low:.1f} to {100 * way.high:.1f}",
            f"{100 * judged.easy:.1f}",
            *cost,
        )

    rows = [row(NO_SLEEP, "-", lives.before, None)]
    rows.append(
        row(f"{NO_SLEEP}, {lives.before_long.way.name}", "-", replace(lives.before_long, easy=math.nan), None)
    )
    for arm in names:
        for seed in lives.seeds_of(arm, seeds):
            for number, facts in enumerate(lives.nights[arm, seed], start=1):
                judged = lives.after.get((arm, seed, number))
                rows.append(row(f"{arm}, seed {seed}", str(number), judged, facts))
    columns = (
        "arm",
        "night",
        "% at 16 calls",
        "95% interval",
        "easy %",
        "answers",
        "steps",
        "search CPU s",
        "training CPU s",
    )
    title = f"Self-teaching from the {lives.name} weights: real puzzles solved, answers hidden"
    return harness.TextTable(title=title, columns=columns, rows=tuple(rows))


def differences(lives: Lives, names: Sequence[str], seeds: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """The arm "search" after its last night, less each other arm, over the seeds that both have."""
    if "search" not in names:
        return {}
    own = lives.last("search", seeds)
    found = {NO_SLEEP: difference(own, [lives.before] * len(own))} if own else {}
    for arm in names:
        common = lives.seeds_of(arm, lives.seeds_of("search", seeds))
        if arm != "search" and common:
            found[arm] = difference(lives.last("search", common), lives.last(arm, common))
    return found


def against_no_sleep(
    lives: Lives, names: Sequence[str], seeds: Sequence[int]
) -> dict[str, tuple[float, ...]]:
    """Each arm after its last night, less the start."""
    after = {arm: lives.last(arm, seeds) for arm in names}
    return {arm: difference(each, [lives.before] * len(each)) for arm, each in after.items() if each}


def difference_table(
    found: dict[str, dict[str, tuple[float, ...]]], start: str, arm: str
) -> harness.TextTable:
    """start, arm: headings."""
    rows = tuple(
        (name, other, f"{100 * mean:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}")
        for name, gaps in found.items()
        for other, (mean, low, high) in gaps.items()
    )
    columns = (start, arm, "points", "95% interval, paired, over puzzles and seeds")
    return harness.TextTable(title="After the last night", columns=columns, rows=rows)


def bars_of(lives: Lives, gaps: dict[str, tuple[float, ...]], seeds: Sequence[int]) -> list[harness.Bar]:
    """Owed with fewer than three seeds of the arms compared."""
    own = lives.last("search", seeds)
    is_whole = len(own) >= FEWEST_SEEDS
    solved = float(np.mean([each.way.solved for each in own])) if is_whole else None
    before, ceiling = lives.before.way.solved, lives.before_long.way.solved
    target = TARGET if lives.name == "first" else before + GAP_SHARE * (ceiling - before)
    easy = float(np.mean([each.easy for each in own])) if is_whole else None
    text = f"{lives.name} weights"
    bars = [
        harness.Bar(name=f"{text}, search, at 16 calls", value=solved, bar=target, better="higher"),
        harness.Bar(name=f"{text}, search, easy puzzles", value=easy, bar=EASY_BAR, better="higher"),
    ]
    for arm in (NO_SLEEP, "solved only", "DER++"):
        num = len(own) if arm == NO_SLEEP else len(lives.seeds_of(arm, lives.seeds_of("search", seeds)))
        low = gaps[arm][1] if num >= FEWEST_SEEDS and arm in gaps else None
        name = f"{text}, search less {arm}, lower bound"
        bars.append(harness.Bar(name=name, value=low, bar=0.0, better="higher"))
    return bars
