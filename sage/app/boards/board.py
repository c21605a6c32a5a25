"""How the cells of a task are drawn: as a sudoku, a maze, an ARC grid, or symbols by number.

Invariant: a board has a text for every symbol of its vocabulary.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sage.hrm_core.tasks.arc.grid import BOARD, COLOUR, NUM_COLOURS
from sage.hrm_core.tasks.contract import Task, TaskSpec
from sage.hrm_core.tasks.maze import symbols as maze
from sage.hrm_core.tasks.sudoku.forms import SYMBOLS as DIGITS
from sage.hrm_core.tasks.sudoku.grid import box_of_size, has_boxes

Kind = Literal["sudoku", "maze", "arc", "cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """rows, cols: of the grid; without a grid one row of at most 32 cells after another.  box: rows and
    columns of a sudoku's boxes, (0, 0) in others.  symbols: text of each symbol by its number.
    unknown: the symbol of cells that an answer fills; -1 where no symbol means that.
    """

    kind: Kind
    rows: int
    cols: int
    box: tuple[int, int]
    symbols: tuple[str, ...]
    unknown: int

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def board_of(task: Task) -> Board:
    """Of a task's puzzles."""
    spec: TaskSpec = task.spec
    return board_of_shape(spec.seq_len, spec.vocab_size, spec.grid, spec.box)


def board_of_shape(
    seq_len: int,
    vocab_size: int,
    grid: tuple[int, int] | None,
    box: tuple[int, int] | None = None,
) -> Board:
    """Found from the numbers of cells and symbols, as `folder` tasks find their rules. box: where stated."""
    side = round(seq_len**0.5)
    if box is None and side**2 == seq_len and vocab_size == side + 2 and has_boxes(side):
        usual = box_of_size(side)
        box = (usual.rows, usual.cols)
    if box is not None and vocab_size - 2 <= len(DIGITS):
        symbols = ("", "", *DIGITS[: vocab_size - 2])
        return Board(kind="sudoku", rows=side, cols=side, box=box, symbols=symbols, unknown=1)
    rows, cols = grid or (-(-seq_len // 32), min(seq_len, 32))
    shape: dict[str, Any] = {"rows": rows, "cols": cols, "box": (0, 0)}
    if side**2 == seq_len and vocab_size == len(maze.SYMBOLS) + 1:
        return Board(kind="maze", symbols=("", *maze.SYMBOLS), unknown=maze.OPEN, **shape)
    if seq_len == BOARD**2 and vocab_size == COLOUR + NUM_COLOURS:
        colours = ("", "", *map(str, range(NUM_COLOURS)))
        return Board(kind="arc", symbols=colours, unknown=-1, **shape)
    return Board(kind="cells", symbols=tuple(map(str, range(vocab_size))), unknown=-1, **shape)
