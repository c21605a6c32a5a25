"""Mazes of each generator, perfect and with walls removed: how many a model solves in one pass.

Invariant: mazes are held out; any shortest path is right; no verifier, no search, 16 segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import harness

from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task

GENERATORS = ("backtracker", "prim", "kruskal", "wilson", "division")
REMOVED = (0.0, 0.1)
SIDE, NUM_SEGMENTS = 10, 16


@dataclass(frozen=True)
class MazeShare:
    """valid: share of `num` held-out mazes whose answer is a shortest path; low, high: its 95% interval."""

    generator: str
    removed: float
    side: int
    num: int
    valid: float
    low: float
    high: float


def measure_mazes(model: str | Path, num: int, side: int = SIDE) -> tuple[MazeShare, ...]:
    """One share for each generator and share of walls removed."""
    inference = HRMInference(model).at_side(side)
    shares = []
    for generator, removed in product(GENERATORS, REMOVED):
        task: Task = make_task(
            "maze", size=side, difficulty="easy", generator=generator, walls_removed=(removed, removed)
        )
        mazes = task.held_out(num)
        answers = run_segments(inference.model, mazes, NUM_SEGMENTS).answers[-1]
        valid = float(task.verify(mazes.inputs, answers).mean())
        low, high = wilson_interval(valid, len(mazes))
        shares.append(MazeShare(generator, removed, side, len(mazes), valid, low, high))
    return tuple(shares)


def mazes_table(measured: dict[str, Sequence[MazeShare]]) -> harness.TextTable:
    """A row for each model and size: percent by generator, none and 10% of the walls removed."""
    rows = []
    for name, shares in measured.items():
        by_kind = {(each.generator, each.removed): each for each in shares}
        cells = [
            " / ".join(f"{100 * by_kind[generator, removed].valid:.1f}" for removed in REMOVED)
            for generator in GENERATORS
        ]
        side = f"{shares[0].side}x{shares[0].side}"
        rows.append((name, side, str(shares[0].num), *cells, f"{100 * worst(shares):.1f}"))
    removed = " / ".join(f"{100 * share:.0f}%" for share in REMOVED)
    return harness.TextTable(
        title=f"% of mazes with a shortest path, {removed} of the walls removed, {NUM_SEGMENTS} segments",
        columns=("model", "size", "mazes of each kind", *GENERATORS, "worst"),
        rows=tuple(rows),
    )


def worst(shares: Sequence[MazeShare]) -> float:
    return min(each.valid for each in shares)
