"""Paths of a maze that grow cell by cell from the start, for search.

Invariant: a prefix is the marks of a path from S that no shortest path contradicts by its shape alone: it
never runs beside itself, and only its last cell touches G. Whether walls leave a way to G is not looked at.
"""

# mypy: no-warn-return-any
# what an array holds is known to numba, not to mypy
from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.loops import loop
from sage.hrm_core.tasks.maze.grid import with_rim
from sage.hrm_core.tasks.maze.symbols import GOAL, OPEN, PATH, START, WALL


@loop
def ends_of(mazes: np.ndarray, width: int) -> np.ndarray:
    """(N,) the last cell of the marks in rimmed mazes (N, rimmed), the start where there are none; -1 where
    the marks are no prefix.
    """
    ends = np.full(len(mazes), -1)
    for row in range(len(mazes)):
        rimmed, cell, before, num_left = mazes[row], -1, -1, 0
        for each in range(len(rimmed)):
            if rimmed[each] == START:
                cell = each
            elif rimmed[each] == PATH:
                num_left += 1
        is_prefix = cell >= 0
        while is_prefix and num_left > 0:
            num_next, following = 0, -1
            for turn in range(4):
                # down, left, right, up
                other = cell + (width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width)
                if other == before:
                    continue
                if rimmed[other] == PATH:
                    num_next, following = num_next + 1, other
                elif rimmed[other] == GOAL or rimmed[other] == START:
                    num_next += 2
            is_prefix = num_next == 1
            before, cell, num_left = cell, following, num_left - 1
        if is_prefix:
            for turn in range(4):
                other = cell + (width if turn == 0 else -1 if turn == 1 else 1 if turn == 2 else -width)
                if other != before and (rimmed[other] == PATH or rimmed[other] == START):
                    is_prefix = False
        if is_prefix:
            ends[row] = cell
    return ends


class MazeSteps:
    """PartialCheck and StepChoices of mazes: partial is the maze with the first cells of a path marked."""

    size: int

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """(N,) bool: marks are on open cells, the rest is unchanged, and the marks are a prefix of a path
        that may be a shortest one (see the module).
        """
        is_marked = partial == PATH
        keeps = np.where(is_marked, inputs == OPEN, inputs == partial).all(axis=1)
        may: np.ndarray = keeps & (self._ends(partial) >= 0)
        return may

    def next_choices(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The open neighbours of the prefix's end; none once the end touches G."""
        end = int(self._known_ends(partial[None])[0])
        row, column = divmod(end, self.size)
        around = [(row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column)]
        cells = [r * self.size + c for r, c in around if 0 <= r < self.size and 0 <= c < self.size]
        if any(inputs[cell] == GOAL for cell in cells):
            return np.zeros((0, 2), np.int32)
        steps = np.array([(cell, PATH) for cell in cells if partial[cell] == OPEN], np.int32).reshape(-1, 2)
        longer = np.repeat(partial[None], len(steps), axis=0)
        longer[np.arange(len(steps)), steps[:, 0]] = PATH
        return steps[self.may_extend(np.broadcast_to(inputs, longer.shape), longer)]

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """The maze from the prefix's end: S moves there, and the cells behind it become walls. A model reads
        a maze as in training, and a shortest path of it continues the prefix. InputError where the marks are
        no prefix.
        """
        rest = np.where((partial == PATH) | (partial == START), WALL, partial).astype(np.int32)
        rest[np.arange(len(rest)), self._known_ends(partial)] = START
        return rest

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """The prefix's marks, then those of the answer."""
        is_kept = (partial == PATH) | (partial == START)
        return np.where(is_kept, partial, answers).astype(np.int32)

    def _ends(self, partial: np.ndarray) -> np.ndarray:
        """(N,) cells of the maze, -1 where the marks are no prefix."""
        width = self.size + 2
        ends = ends_of(with_rim(partial, self.size), width)
        row, column = np.divmod(ends, width)
        cells: np.ndarray = np.where(ends < 0, -1, (row - 1) * self.size + column - 1)
        return cells

    def _known_ends(self, partial: np.ndarray) -> np.ndarray:
        ends = self._ends(partial)
        if (ends < 0).any():
            raise InputError(
                f"partial answer {int(np.flatnonzero(ends < 0)[0])}: its marks are no prefix of a path:"
                " give one that may_extend accepts"
            )
        return ends
