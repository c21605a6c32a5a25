"""Options of generated mazes, checked when they are made.

Invariant: a MazeConfig that exists names mazes that can be drawn, or a file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from sage.errors import InputError
from sage.hrm_core.tasks.maze.grid import LARGEST_SIDE

Difficulty = Literal["easy", "medium", "hard"]
Generator = Literal["random", "backtracker", "prim", "kruskal", "wilson", "division", "any"]
#: The generators that carve perfect mazes.
CARVERS = ("backtracker", "prim", "kruskal", "wilson", "division")
#: Moves of the shortest way at 30x30, at least. Hard is Maze-Hard's: 110 cells and more, S and G included.
FEWEST_MOVES = {"easy": 20, "medium": 60, "hard": 109}
#: How the length of random mazes' ways grows with their side (the dimension of shortest ways on percolation
#: clusters).
LENGTH_EXPONENT = 1.13


@dataclass(frozen=True, slots=True, kw_only=True)
class MazeConfig:
    """size: rows and columns.  difficulty: how long the shortest way is at least; min_moves says it in moves
    instead.
    sizes: sides of the mazes, each drawn evenly from this range; a smaller maze lies at a random place of the
    grid, with walls around it. None: all have `size`.
    generator: "random" makes each cell a wall by chance. "backtracker" (depth-first search), "prim",
    "kruskal", "wilson" and "division" (recursive division) make perfect mazes: passages are every second row
    and column, from the first or the second on, so that an even grid has one row and one column more, of
    walls. "any": one of the six for each maze, each as likely.
    walls_removed: the share of wall cells that are opened afterwards, drawn evenly from this range for each
    maze.
    density: the share of walls of "random", drawn evenly from this range for each maze.  data: an .npz to
    read instead."""

    size: int = 30
    difficulty: Difficulty = "hard"
    min_moves: int | None = None
    density: tuple[float, float] = (0.3, 0.5)
    data: str | None = None
    sizes: tuple[int, int] | None = None
    generator: Generator = "random"
    walls_removed: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 3 <= self.size <= LARGEST_SIDE:
            raise InputError(f"size is {self.size}: give 3 to {LARGEST_SIDE}")
        for name, kind in (("difficulty", Difficulty), ("generator", Generator)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise InputError(f"{name} is {value!r}: give one of {', '.join(get_args(kind))}")
        for name in ("density", "walls_removed"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < 1:
                raise InputError(f"{name} is {low} to {high}: give two shares of 0 to 1, the lower one first")
        if self.sizes is not None and not 3 <= self.sizes[0] <= self.sizes[1] <= self.size:
            low, high = self.sizes
            raise InputError(f"sizes is {low} to {high}: give two sides of 3 to {self.size}, the lower first")
        smallest = self.size if self.sizes is None else self.sizes[0]
        if not 1 <= self.fewest_moves_at(smallest) < smallest**2 // 2:
            most = smallest**2 // 2 - 1
            if self.min_moves is None:
                raise InputError(
                    f"difficulty is {self.difficulty!r}, which {smallest}x{smallest} cells have no room for:"
                    f" give an easier one, or min_moves of 1 to {most}"
                )
            raise InputError(f"min_moves is {self.min_moves}: give 1 to {most}")

    @property
    def fewest_moves(self) -> int:
        return self.fewest_moves_at(self.size)

    def fewest_moves_at(self, side: int) -> int:
        """Moves of the shortest way, at least, of mazes of `side` rows."""
        if self.min_moves is not None:
            return self.min_moves
        grown = FEWEST_MOVES[self.difficulty] * math.pow(side / 30, LENGTH_EXPONENT)
        return max(1, round(grown))
