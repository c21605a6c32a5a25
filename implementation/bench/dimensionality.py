"""Dimensions of z_H against z_L, trained and untrained: a replication of a finding of the HRM paper.

Hierarchical Reasoning Model (arXiv 2506.21734), section on brain correspondence: participation ratio of z_H
89.95 and of z_L 30.22 after training, 40.75 and 42.09 without, on 512 features and Sudoku-Extreme. Here: the
shipped sudoku6 and sudoku9, which have one net for both levels, and sudoku6 trained here with a net for each
level as in the paper. Controls: untrained nets of the same shape, and nets trained on the labels of other
puzzles. All read the same held-out puzzles, H and L with the same number of rows.

The models have a token for each candidate of a cell. A row is the state of a whole cell: its candidates'
features in a row (sudoku6 6 x 32, sudoku9 9 x 48). "cells": 8 random cells of each puzzle after the last
segment. "trajectory": the same cells after random segments. "candidates": one token of each such cell alone.
"one cell": one cell of each puzzle, so that rows are independent. "mean": the mean over a puzzle's cells. The
ratio is unbiased in the number of independent rows; "naive" is not corrected. Intervals are 95%: by bootstrap
over puzzles, 200 draws; of the last two designs, whose rows are as few as the puzzles, by the jackknife over
50 groups of puzzles. They are of the puzzles, not of the training seeds, which are rows of their own.
Reproduced means: H/L of the trained net at least 1.5, its interval above 1, and above the untrained nets'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import harness
import numpy as np
from _dimensionality_nets import Net, States, shipped, states_of, trained, untrained

from sage.runtime.coherence.dimension import naive_participation_ratio, participation_ratio

CELLS, TRAJECTORY, CANDIDATES = "cells", "trajectory", "candidates"
ONE, MEAN = "one cell", "mean"
DRAWN = (CELLS, TRAJECTORY, CANDIDATES)
DESIGNS = (*DRAWN, ONE, MEAN)
BAR_RATIO, NUM_DRAWS, NUM_GROUPS, NORMAL_95 = 1.5, 200, 50, 1.96
GROWTH = (10, 30, 100, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """puzzles: of each task.  cells: of each puzzle.  segments: of each computation.  steps: of training;
    None: the recipe's.  trained_seeds: of nets trained here; empty for none.
    """

    puzzles: int = 500
    cells: int = 8
    segments: int = 8
    draws: int = NUM_DRAWS
    steps: int | None = None
    trained_seeds: tuple[int, ...] = (0, 1, 2)
    untrained_seeds: tuple[int, ...] = (0, 1, 2)
    models: tuple[str, ...] = ("sudoku6", "sudoku9")  # the first has the shape that is trained here


QUICK = Scale(
    puzzles=60, segments=2, draws=20, steps=2, trained_seeds=(0,), untrained_seeds=(0,), models=("sudoku6",)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """high, low: participation ratios of n rows each.  ratio: high / low, with its 95% interval.  over: that
    of a trained net over the geometric mean of the untrained ones' of the same shape and puzzles, with its
    interval; None for the untrained.
    """

    shape: str
    kind: str
    seed: int
    design: str
    n: int
    high: float
    low: float
    ratio: float
    interval: tuple[float, float]
    naive: float
    exact: float
    over: tuple[float, float, float] | None = None


def rows_of(states: States, design: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, r, D) of z_H and of z_L: r rows of each puzzle, of the same cells and segments in both."""
    if design == MEAN:
        return states.high.mean[:, None], states.low.mean[:, None]
    num_segments, num, num_cells, num_tokens, _ = states.high.cells.shape
    generator = np.random.default_rng(0)
    segment, token = np.full((num, num_cells), num_segments - 1), slice(None)
    if design == TRAJECTORY:
        segment = generator.integers(num_segments, size=(num, num_cells))
    if design == CANDIDATES:
        token = generator.integers(num_tokens, size=(num, num_cells))
    at = (segment, np.arange(num)[:, None], np.arange(num_cells)[None], token)
    high, low = (each.cells[at].reshape(num, num_cells, -1) for each in (states.high, states.low))
    return (high[:, :1], low[:, :1]) if design == ONE else (high, low)


def ratio(rows: np.ndarray) -> float:
    return participation_ratio(rows.reshape(-1, rows.shape[-1]))


def log_ratio(high: np.ndarray, low: np.ndarray) -> float:
    return math.log(ratio(high)) - math.log(ratio(low))


def bootstrap(high: np.ndarray, low: np.ndarray, num_draws: int) -> np.ndarray:
    """(draws,) log H/L of puzzles drawn with replacement: the same puzzles for every net of a task."""
    generator = np.random.default_rng(1)
    drawn = generator.integers(len(high), size=(num_draws, len(high)))
    return np.array([log_ratio(high[rows], low[rows]) for rows in drawn])


def jackknifed(high: np.ndarray, low: np.ndarray, num_groups: int = NUM_GROUPS) -> np.ndarray:
    """(groups,) log H/L without each group of puzzles."""
    group = np.arange(len(high)) % num_groups
    return np.array([log_ratio(high[group != each], low[group != each]) for each in range(num_groups)])


def spread_of(parts: np.ndarray, whole: float, design: str) -> tuple[float, float]:
    """The 95% interval of a log ratio from `bootstrap` or `jackknifed`."""
    if design in DRAWN:
        low, high = np.percentile(parts, (2.5, 97.5))
        return float(low), float(high)
    error = math.sqrt((len(parts) - 1) / len(parts) * float(((parts - parts.mean()) ** 2).sum()))
    return whole - NORMAL_95 * error, whole + NORMAL_95 * error


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """log: of H/L.  parts: as `bootstrap` or `jackknifed`."""

    found: Dimensions
    log: float
    parts: np.ndarray


def measure(net: Net, states: States, design: str, scale: Scale, against: Sequence[Measured]) -> Measured:
    """against: untrained nets of the same shape, in the same design; empty for one of them."""
    high, low = rows_of(states, design)
    whole = log_ratio(high, low)
    is_drawn = design in DRAWN
    parts = bootstrap(high, low, scale.draws) if is_drawn else jackknifed(high, low)
    first, last = spread_of(parts, whole, design)
    over = None
    if against:
        difference = whole - float(np.mean([each.log for each in against]))
        ends = spread_of(parts - np.mean([each.parts for each in against], axis=0), difference, design)
        over = (math.exp(difference), math.exp(ends[0]), math.exp(ends[1]))
    flat = [each.reshape(-1, each.shape[-1]) for each in (high, low)]
    found = Dimensions(
        shape=net.shape, kind=net.kind, seed=net.seed, design=design, n=len(flat[0]), high=ratio(high),
        low=ratio(low), ratio=math.exp(whole), interval=(math.exp(first), math.exp(last)),
        naive=naive_participation_ratio(flat[0]) / naive_participation_ratio(flat[1]), exact=states.exact,
        over=over,
    )  # fmt: skip
    return Measured(found, whole, parts)


def growth(net: Net, states: States) -> list[dict[str, Any]]:
    """Participation ratios of `one cell` by number of puzzles: the naive one grows with it in any case."""
    high, low = (each[:, 0] for each in rows_of(states, ONE))
    return [
        {"shape": net.shape, "kind": net.kind, "puzzles": num}
        | {"high": participation_ratio(high[:num]), "naive high": naive_participation_ratio(high[:num])}
        | {"low": participation_ratio(low[:num]), "naive low": naive_participation_ratio(low[:num])}
        for num in GROWTH
        if num <= len(high)
    ]


def nets_of(scale: Scale) -> list[list[Net]]:
    """Each shape's nets, untrained ones first."""
    shapes = [[shipped(name)] for name in scale.models]
    if scale.trained_seeds:
        steps = scale.steps
        shapes[0].append(trained(0, has_two_nets=False, is_shuffled=True, steps=steps))
        two = [
            trained(seed, has_two_nets=True, is_shuffled=False, steps=steps) for seed in scale.trained_seeds
        ]
        shapes.append([*two, trained(0, has_two_nets=True, is_shuffled=True, steps=steps)])
    return [[*(untrained(own[0], seed) for seed in scale.untrained_seeds), *own] for own in shapes]


def measure_all(
    shapes: Sequence[Sequence[Net]], scale: Scale
) -> tuple[list[Dimensions], list[dict[str, Any]]]:
    found, grown = [], []
    for nets in shapes:
        plain: dict[str, list[Measured]] = {design: [] for design in DESIGNS}
        for net in nets:
            states = states_of(net, scale.puzzles, scale.segments, scale.cells)
            is_plain = net.kind == "untrained"
            for design in DESIGNS:
                one = measure(net, states, design, scale, [] if is_plain else plain[design])
                found.append(one.found)
                if is_plain:
                    plain[design].append(one)
            if net.seed == 0:
                grown += growth(net, states)
    return found, grown


def bars_of(found: Sequence[Dimensions], *, is_quick: bool) -> list[harness.Bar]:
    """Of trained nets in the design "cells": a shape's worst seed. Owed in a quick run."""
    bars = []
    for shape in dict.fromkeys(each.shape for each in found):
        own = [
            each
            for each in found
            if each.shape == shape and each.design == CELLS and each.kind in ("shipped", "trained")
        ]
        overs = [each.over[1] for each in own if each.over is not None]
        values = (
            ("H/L", min(each.ratio for each in own), BAR_RATIO),
            ("lower end of H/L", min(each.interval[0] for each in own), 1.0),
            ("lower end of H/L over the untrained nets'", min(overs), 1.0),
        )
        bars += [
            harness.Bar(name=f"{shape}: {name}", value=None if is_quick else value, bar=bar, better="higher")
            for name, value, bar in values
        ]
    return bars


def dimensions_table(found: Sequence[Dimensions], design: str) -> harness.TextTable:
    def cells(each: Dimensions) -> tuple[str, ...]:
        over = "-" if each.over is None else "{:.2f} ({:.2f} to {:.2f})".format(*each.over)
        low, high = each.interval
        return (
            each.shape, f"{each.kind}, seed {each.seed}", f"{100 * each.exact:.0f}", f"{each.high:.2f}",
            f"{each.low:.2f}", f"{each.ratio:.2f} ({low:.2f} to {high:.2f})", over, f"{each.naive:.2f}",
        )  # fmt: skip

    own = [each for each in found if each.design == design]
    columns = ("net", "", "% solved", "PR z_H", "PR z_L", "H/L", "H/L over untrained", "naive H/L")
    rows = tuple(map(cells, own))
    return harness.TextTable(
        title=f"Participation ratio, {design}, n {own[0].n:,} to {max(each.n for each in own):,}",
        columns=columns,
        rows=rows,
    )


def growth_table(grown: Sequence[dict[str, Any]]) -> harness.TextTable:
    columns = tuple(grown[0])
    rows = tuple(
        tuple(f"{value:.2f}" if isinstance(value, float) else str(value) for value in each.values())
        for each in grown
    )
    return harness.TextTable(title="By number of puzzles, one cell", columns=columns, rows=rows)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--puzzles", type=int, help="held-out puzzles of each task (default 500)")
    parser.add_argument(
        "--shipped", action="store_true", help="shipped and untrained nets alone, none trained"
    )
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else Scale()
    if arguments.shipped:
        scale = Scale(**(asdict(scale) | {"trained_seeds": ()}))
    if arguments.puzzles:
        scale = Scale(**(asdict(scale) | {"puzzles": arguments.puzzles}))
    shapes = nets_of(scale)
    found, grown = measure_all(shapes, scale)
    bars = bars_of(found, is_quick=arguments.quick)
    results: dict[str, Any] = {
        "scale": asdict(scale),
        "dimensions": [asdict(each) for each in found],
        "growth": grown,
        "training": [
            {"shape": net.shape, "kind": net.kind, "seed": net.seed, "cpu_secs": net.cpu_secs}
            for nets in shapes
            for net in nets
            if net.cpu_secs is not None
        ],
        "calibration": harness.calibrate(),
    }
    tables = [dimensions_table(found, design) for design in DESIGNS]
    tables += [growth_table(grown), harness.bars_table(bars)]
    whole = harness.document("dimensionality", results, bars)
    harness.finish(whole, tables, is_saved=arguments.save, notes=(__doc__ or "").partition("\n\n")[2])


if __name__ == "__main__":
    main()
