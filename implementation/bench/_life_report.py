"""Tables and bars of the lives of `_life_arms`. Invariant: a bar without enough lives has no value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import _life_arms as arms
import harness
import numpy as np
from _student import interval

FEWEST_SEEDS, FEWEST_LIVES = 3, 5
MOST_PAIRED = 4
#: Two arms have the same compute where their mean CPU seconds of training differ by at most this share.
SAME_SECS = 0.05


def reasoner_bars(lives: dict[str, list[arms.Lived]]) -> list[harness.Bar]:
    """Held-out 6x6 at the end, HRM's lower bound less the other's upper bound: above 0 where the intervals
    are apart. Owed with fewer than three seeds of either.
    """
    own, bars = lives.get("HRM", []), []
    for arm in arms.REASONER_ARMS[1:]:
        other = lives.get(arm.name, [])
        gap = None
        if min(len(own), len(other)) >= FEWEST_SEEDS:
            bounds = [interval([each.final[-1] for each in found]) for found in (own, other)]
            gap = bounds[0][1] - bounds[1][2]
        name = f"6x6 at the end, HRM's lower bound less {arm.name}'s upper bound"
        bars.append(harness.Bar(name=name, value=gap, bar=0.0, better="higher"))
    return bars


def life_table(lives: dict[str, list[arms.Lived]]) -> harness.TextTable:
    def shown(values: Sequence[float], scale: float = 100.0) -> str:
        mean, low, high = interval(values)
        text = f"{scale * mean:.1f}"
        return text if math.isnan(low) else f"{text} ({scale * low:.1f} to {scale * high:.1f})"

    rows = []
    for name, found in lives.items():
        outcomes = [night["outcome"] for life in found for night in life.nights]
        accepted = f"{outcomes.count('accepted')} of {len(outcomes)}" if outcomes else "-"
        rows.append(
            (
                name,
                str(len(found)),
                shown([each.area for each in found]),
                *(shown([each.final[level] for each in found]) for level in range(len(arms.SIZES))),
                shown([max(each.forgotten) for each in found]),
                shown([each.right for each in found]),
                shown([each.segments for each in found], 1.0),
                accepted,
                f"{np.mean([each.steps for each in found]):,.0f}",
                f"{np.mean([each.train_secs for each in found]):.0f}",
                f"{found[0].num_bytes:,}",
                " ".join(f"{each:,}" for each in dict.fromkeys(found[0].num_parameters)),
            )
        )
    columns = (
        "arm",
        "n",
        "area %",
        *(f"{size}x{size} at the end %" for size in arms.SIZES),
        "forgotten, points",
        "right awake %",
        "segments",
        "nights kept",
        "steps",
        "CPU s",
        "bytes",
        "weights",
    )
    return harness.TextTable(
        title="Lives: means over seeds, 95% intervals by Student's t", columns=columns, rows=tuple(rows)
    )


def nights_table(found: Sequence[arms.Lived]) -> harness.TextTable:
    """Every night of one arm."""
    rows = [
        (
            str(life.seed),
            str(number),
            night["outcome"].replace("_", " "),
            f"{100 * night['gain']:+.1f} ({100 * night['low']:+.1f} to {100 * night['high']:+.1f})",
        )
        for life in found
        for number, night in enumerate(life.nights, 1)
    ]
    name = found[0].arm if found else ""
    columns = ("seed", "night", "outcome", "gain, points, 90% interval")
    return harness.TextTable(title=f"Nights of {name}", columns=columns, rows=tuple(rows))


def differences_table(lives: dict[str, list[arms.Lived]]) -> harness.TextTable:
    """Of every pair of arms where they are few, else of the first arm and each other."""
    names = list(lives)
    firsts = names if len(names) <= MOST_PAIRED else names[:1]
    rows = []
    for first in firsts:
        for second in names[names.index(first) + 1 :]:
            pairs = paired(lives[first], lives[second])
            if len(pairs) >= 2:
                gaps = ([one.area - two.area for one, two in pairs],
                        [one.final[-1] - two.final[-1] for one, two in pairs])  # fmt: skip
                rows.append((first, second, str(len(pairs)), *map(_points, gaps)))
    size = f"{arms.SIZES[-1]}x{arms.SIZES[-1]}"
    return harness.TextTable(
        title="Paired differences by seed, points, with 95% intervals by Student's t",
        columns=("arm", "less", "n", "area", f"{size} at the end"),
        rows=tuple(rows),
    )


def paired(first: Sequence[arms.Lived], second: Sequence[arms.Lived]) -> list[tuple[arms.Lived, arms.Lived]]:
    """Lives of the same seed."""
    others = {each.seed: each for each in second}
    return [(each, others[each.seed]) for each in first if each.seed in others]


def _points(gaps: Sequence[float]) -> str:
    mean, low, high = (100 * each for each in interval(gaps))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def have_same_secs(first: Sequence[arms.Lived], second: Sequence[arms.Lived]) -> bool:
    own, other = (float(np.mean([each.train_secs for each in found])) for found in (first, second))
    return abs(own - other) <= SAME_SECS * max(own, other)


def life_bars(lives: dict[str, list[arms.Lived]]) -> list[harness.Bar]:
    """Owed with fewer than five seeds, without the arms, and where the two arms of a difference had other CPU
    seconds of training. Differences are paired by seed.
    """
    whole = lives.get("a whole", [])

    def is_owed(*names: str) -> bool:
        return min(len(lives.get(name, [])) for name in ("a whole", *names)) < FEWEST_LIVES

    bars = []
    for other in ("b practice only", "b practice all day", "c nights without symmetries"):
        gaps = [one.area - two.area for one, two in paired(whole, lives.get(other, []))]
        value = None
        if not is_owed(other) and have_same_secs(whole, lives[other]):
            value = interval(gaps)[1]
        name = f"area, a less {other}, lower bound"
        bars.append(harness.Bar(name=name, value=value, bar=0.0, better="higher"))
    cost = None
    if not is_owed("lies 15%"):
        honest, lied = ([np.mean(each.final) for each in found] for found in (whole, lives["lies 15%"]))
        cost = float(np.mean(honest) - np.mean(lied))
    name = "final share, honest teacher less 15% lies"
    lied_bar = harness.Bar(name=name, value=cost, bar=0.025, better="lower")
    return [*bars, *acceptance_bars(lives, FEWEST_LIVES), lied_bar]


def acceptance_bars(lives: dict[str, list[arms.Lived]], fewest: int) -> list[harness.Bar]:
    """Of the arm "a whole"; owed with fewer than `fewest` lives."""
    whole = lives.get("a whole", [])
    is_owed = len(whole) < fewest
    accepted = None if is_owed else arms.accepted_share(whole)
    forgotten = None if is_owed else float(np.mean([max(each.forgotten) for each in whole]))
    return [
        harness.Bar(name="nights accepted of those examined", value=accepted, bar=0.5, better="higher"),
        harness.Bar(name="forgotten of a level", value=forgotten, bar=0.03, better="lower"),
    ]
