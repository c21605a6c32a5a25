"""Generated ARC puzzles: families of rules, each drawn from a numpy Generator.

`FAMILIES[name](rng, side)` draws the rule of one puzzle and returns a function that draws its pairs.
Invariant: equal generators give equal puzzles; grids have at most `side` rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc import generators_cells as cells
from sage.hrm_core.tasks.arc import generators_shapes as shapes
from sage.hrm_core.tasks.arc.drawing import MIN_SIDE
from sage.hrm_core.tasks.arc.grid import BOARD
from sage.hrm_core.tasks.arc.source import ArcPuzzle, Pair

#: The least side at which every family has room for its rule.
LEAST_SIDE = MIN_SIDE + 2
MakePair = Callable[[np.random.Generator], Pair]
FAMILIES: dict[str, Callable[[np.random.Generator, int], MakePair]] = {
    "colour_map": cells.colour_map,
    "count_bar": cells.count_bar,
    "denoise": cells.denoise,
    "extend": cells.extend,
    "fill": shapes.fill,
    "gravity": cells.gravity,
    "join": cells.join,
    "mirror": shapes.mirror,
    "move": shapes.move,
    "outline": shapes.outline,
    "rays": cells.rays,
    "recolour_by_size": shapes.recolour_by_size,
}


def generated(
    family: str, rng: np.random.Generator, *, side: int = 10, num_demonstrations: int = 3
) -> ArcPuzzle:
    """A puzzle of a family, with one test. InputError for an unknown family, or a side that has no room."""
    if family not in FAMILIES:
        raise InputError(f"family {family!r}: unknown: give one of {', '.join(FAMILIES)}")
    check_side(side)
    make = FAMILIES[family](rng, side)
    pairs = [make(rng) for _ in range(num_demonstrations + 1)]
    return ArcPuzzle(name=family, demonstrations=tuple(pairs[:-1]), tests=tuple(pairs[-1:]))


def check_side(side: int) -> None:
    """InputError unless every family has room on a board of `side` rows."""
    if not LEAST_SIDE <= side <= BOARD:
        raise InputError(f"side is {side}: give {LEAST_SIDE} to {BOARD}")
