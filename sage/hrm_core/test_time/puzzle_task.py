"""One ARC puzzle as a task: its demonstrations, turned, recoloured and moved, are the training examples.

Invariant: the outputs of the puzzle's tests are never read.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.arc.grid import (
    BOARD,
    COLOUR,
    NUM_COLOURS,
    NUM_TURNS,
    Augmentation,
    board,
    orbit_form,
    room,
)
from sage.hrm_core.tasks.arc.source import ArcPuzzle
from sage.hrm_core.tasks.contract import IGNORED, Examples, TaskSpec
from sage.hrm_core.tasks.split import without_ids


def keeps_size(puzzle: ArcPuzzle) -> bool:
    """Whether the output of every demonstration has the size of its input."""
    return all(pair.input.shape == pair.output.shape for pair in puzzle.demonstrations)


def side_of(puzzle: ArcPuzzle) -> int:
    """The most rows or columns of the demonstrations and of the inputs of tests."""
    grids = [pair.input for pair in (*puzzle.demonstrations, *puzzle.tests)]
    grids += [pair.output for pair in puzzle.demonstrations]
    return max(int(max(grid.shape)) for grid in grids)


def fixed_colours(puzzle: ArcPuzzle) -> tuple[int, ...]:
    """Colours with a meaning of their own: 0; those in the input of every demonstration, or in the output of
    every one; those that some demonstration has in only one of its two grids. The others may be permuted.
    """
    inputs = [set(np.unique(pair.input).tolist()) for pair in puzzle.demonstrations]
    outputs = [set(np.unique(pair.output).tolist()) for pair in puzzle.demonstrations]
    changed = set().union(*(left ^ right for left, right in zip(inputs, outputs)))
    return tuple(sorted({0} | set.intersection(*inputs) | set.intersection(*outputs) | changed))


class PuzzleTask:
    """side: rows and columns of the board; None: the least that fits every grid.  turns: whether the
    demonstrations are turned and mirrored, which assumes that the puzzle has no direction.
    """

    def __init__(self, puzzle: ArcPuzzle, *, turns: bool = True, side: int | None = None) -> None:
        if not puzzle.demonstrations:
            raise InputError(f"puzzle {puzzle.name} has no demonstrations: give one that has some")
        if not keeps_size(puzzle):
            raise InputError(
                f"puzzle {puzzle.name}: an output has another size than its input: give one that keeps sizes"
            )
        self.puzzle = puzzle
        self.side = side_of(puzzle) if side is None else side
        if not side_of(puzzle) <= self.side <= BOARD:
            raise InputError(f"side is {self.side}: give {side_of(puzzle)} to {BOARD}")
        self._turns = turns
        self._free = np.array([each for each in range(NUM_COLOURS) if each not in fixed_colours(puzzle)])

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name="arc_puzzle",
            vocab_size=COLOUR + NUM_COLOURS,
            seq_len=self.side**2,
            grid=(self.side, self.side),
        )

    def augmentation(self, rng: np.random.Generator) -> Augmentation:
        """A random turn, if turns are allowed, and a random permutation of the colours that are not fixed."""
        colours = np.arange(NUM_COLOURS)
        colours[self._free] = rng.permutation(self._free)
        turn = int(rng.integers(0, NUM_TURNS)) if self._turns else 0
        return Augmentation(turn=turn, colours=tuple(colours.tolist()))

    def augmentations(self, num: int, rng: np.random.Generator) -> list[Augmentation]:
        """The identity, then num - 1 random ones."""
        return [Augmentation(), *(self.augmentation(rng) for _ in range(num - 1))]

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        """Random demonstrations in random forms, at random positions on the board."""
        inputs, labels = [], []
        pairs = self.puzzle.demonstrations
        for chosen in rng.integers(0, len(pairs), size=num):
            form = self.augmentation(rng)
            left, right = (form.applied(grid) for grid in (pairs[chosen].input, pairs[chosen].output))
            row, col = (int(rng.integers(0, free + 1)) for free in room(left, side=self.side))
            inputs.append(board(left, row, col, side=self.side))
            labels.append(board(right, row, col, side=self.side))
        cells = np.array(labels, np.int32)
        return without_ids(np.array(inputs), np.where(cells < COLOUR, IGNORED, cells))

    def held_out(self, num: int) -> Examples:
        """The inputs of the tests; every label is IGNORED."""
        inputs = np.array([board(pair.input, side=self.side) for pair in self.puzzle.tests[:num]], np.int32)
        return without_ids(inputs, np.full_like(inputs, IGNORED))

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool: True where input and answer are a demonstration, in any form and at any place."""
        known = {orbit_form(pair.input, pair.output) for pair in self.puzzle.demonstrations}
        found = []
        for left, right in zip(inputs, answers):
            mask = left.reshape(self.side, self.side) >= COLOUR
            rows, cols = mask.any(axis=1), mask.any(axis=0)
            grids = [
                each.reshape(self.side, self.side)[rows][:, cols] - COLOUR if mask.any() else np.zeros((0, 0))
                for each in (left, right)
            ]
            is_coloured = all(grid.size and grid.min() >= 0 for grid in grids)
            found.append(is_coloured and orbit_form(*grids) in known)
        return np.array(found, bool)
