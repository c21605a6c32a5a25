"""ARC grids as cells, and the dihedral transforms and colour permutations that augment a puzzle.

Invariant: `undone(applied(grid))` is the grid. Cells on a 30 x 30 board: 0 pad, 1 end (the row below and the
column right of the grid), 2..11 colours. Transforms have the numbers that the published data sets write into
puzzle names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOARD = 30
PAD, END, COLOUR = 0, 1, 2
NUM_COLOURS = 10
NUM_TURNS = 8
_INVERSE_TURN = (0, 3, 2, 1, 4, 5, 6, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """turn: number of the dihedral transform, 0..7.  colours: the new colour of each of the ten; 0, the
    background, maps to itself.
    """

    turn: int = 0
    colours: tuple[int, ...] = tuple(range(NUM_COLOURS))

    def name(self, puzzle: str, *, mark: str = "_") -> str:
        """The form's name as the published builders write it: the puzzle, the turn, the colours, with `mark`
        between them ("_" in HRM's, "|||" in TRM's). The identity has the puzzle's name.
        """
        is_same = self == Augmentation()
        return puzzle if is_same else f"{puzzle}{mark}t{self.turn}{mark}{''.join(map(str, self.colours))}"

    def applied(self, grid: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.array(self.colours, np.int32)[turned(grid, self.turn)]
        return found

    def undone(self, grid: np.ndarray) -> np.ndarray:
        return turned(np.argsort(self.colours).astype(np.int32)[grid], _INVERSE_TURN[self.turn])


def random_augmentation(rng: np.random.Generator) -> Augmentation:
    colours = (0, *(rng.permutation(NUM_COLOURS - 1) + 1).tolist())
    return Augmentation(turn=int(rng.integers(0, NUM_TURNS)), colours=colours)


def turned(grid: np.ndarray, turn: int) -> np.ndarray:
    """0 identity, 1..3 quarter turns counterclockwise, 4 left-right flip, 5 up-down flip, 6 transpose, 7
    anti-transpose.
    """
    if turn < 4:
        return np.rot90(grid, turn)
    return (grid[:, ::-1], grid[::-1], grid.T, np.rot90(grid)[:, ::-1])[turn - 4]


def board(grid: np.ndarray, row: int = 0, col: int = 0, *, side: int = BOARD) -> np.ndarray:
    """(side^2,) int32 with the grid's corner at (row, col)."""
    cells = np.full((side, side), PAD, np.int32)
    bottom, right = row + grid.shape[0], col + grid.shape[1]
    cells[row:bottom, col:right] = grid + COLOUR
    if bottom < side:
        cells[bottom, col:right] = END
    if right < side:
        cells[row:bottom, right] = END
    return cells.reshape(-1)


def grid_of(cells: np.ndarray, corner: tuple[int, int] | None = None, *, side: int = BOARD) -> np.ndarray:
    """The largest rectangle of colours whose top left is `corner`; None: the top left of all coloured cells.

    Shape (0, 0) where there is no such rectangle.
    """
    board_cells = np.asarray(cells).reshape(side, side)
    coloured = board_cells >= COLOUR
    if not coloured.any():
        return np.zeros((0, 0), np.int32)
    row, col = corner or _corner_of(coloured)
    part = coloured[row:, col:]
    widths = np.minimum.accumulate(np.where(part.all(axis=1), part.shape[1], part.argmin(axis=1)))
    height = int((widths * np.arange(1, len(widths) + 1)).argmax()) + 1
    width = int(widths[height - 1])
    found = board_cells[row : row + height, col : col + width] - COLOUR
    return found.astype(np.int32) if width else np.zeros((0, 0), np.int32)


def answer_grid(inputs: np.ndarray, answers: np.ndarray, *, side: int = BOARD) -> np.ndarray:
    """The grid of an answer (L,), whose corner is that of the grid of inputs (L,): what an answer has in
    other cells, where a model is taught nothing, does not count.
    """
    coloured = np.asarray(inputs).reshape(side, side) >= COLOUR
    return grid_of(answers, _corner_of(coloured), side=side)


def _corner_of(coloured: np.ndarray) -> tuple[int, int]:
    """(row, column) of the top left of all coloured cells; (0, 0) without any."""
    return int(coloured.any(axis=1).argmax()), int(coloured.any(axis=0).argmax())


def room(*grids: np.ndarray, side: int = BOARD) -> tuple[int, int]:
    """Number of rows and columns by which a pair can be moved on the board."""
    return side - max(grid.shape[0] for grid in grids), side - max(grid.shape[1] for grid in grids)


def orbit_form(left: np.ndarray, right: np.ndarray) -> bytes:
    """Bytes that are equal exactly for pairs that an augmentation maps to each other."""
    return min(_spelled(turned(left, turn), turned(right, turn)) for turn in range(NUM_TURNS))


def _spelled(left: np.ndarray, right: np.ndarray) -> bytes:
    """Shapes, then colours numbered by first appearance; the background stays 0."""
    flat = np.concatenate([left.reshape(-1), right.reshape(-1)]).astype(np.int64)
    colours, first = np.unique(flat[flat > 0], return_index=True)
    names = np.zeros(NUM_COLOURS, np.uint8)
    names[colours[first.argsort()]] = np.arange(1, len(colours) + 1)
    return bytes([*left.shape, *right.shape]) + names[flat].tobytes()
