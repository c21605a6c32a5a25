"""The last puzzles of a session, each answer as it formed. Invariant: at most NUM_BOARDS a stream, NUM_STEPS
grids each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from sage.app.report.markup import text
from sage.app.store.answers import LevelHistory
from sage.app.store.boards import Board
from sage.app.terminal import figures

NUM_BOARDS, NUM_STEPS = 3, 6
_SIZE = re.compile(r"(\d+)x(\d+)")
_MAZE = {1: "█", 2: "", 3: "S", 4: "G", 5: "•"}


def boards_html(boards: Sequence[Board], levels: Sequence[LevelHistory]) -> str:
    """Empty without a puzzle that has a step."""
    streams = dict.fromkeys(board.stream for board in boards)
    chosen = [
        board
        for stream in streams
        for board in [each for each in boards if each.stream == stream][-NUM_BOARDS:]
    ]
    if not chosen:
        return ""
    figures_html = "".join(_board(board, levels, is_named=len(streams) > 1) for board in chosen)
    note = (
        "The last puzzles in hand, from left to right the answer after the steps in which it changed. Bold"
        " cells are given; a shaded cell is another one than in the step before."
    )
    return f'<h3>Puzzles in hand</h3><p class="note">{text(note)}</p><div class="boards">{figures_html}</div>'


def _board(board: Board, levels: Sequence[LevelHistory], *, is_named: bool) -> str:
    num = len(board.ticks)
    steps = np.unique(np.linspace(0, num - 1, min(num, NUM_STEPS)).round().astype(int))
    level = level_of(len(board.cells), [each.name for each in levels if each.stream == board.stream])
    before, grids = board.cells, []
    for step in steps.tolist():
        answer = board.answers[step]
        grids.append(_grid(board.cells, answer, before, level))
        before = answer
    name = f"{board.stream}: puzzle {board.puzzle}" if is_named else f"puzzle {board.puzzle}"
    first, last = (figures.count(int(each)) for each in (board.ticks[0], board.ticks[-1]))
    caption = f"{name}, {level or 'level unknown'}, {figures.count(num)} steps, ticks {first} to {last}"
    steps_html = f'<div class="steps" tabindex="0">{"".join(grids)}</div>'
    return f"<figure><figcaption>{text(caption)}</figcaption>{steps_html}</figure>"


def level_of(num_cells: int, levels: Sequence[str]) -> str:
    """The first name of a stream's levels whose size, as in `sudoku 4x4`, fits; "" where none does."""
    for level in levels:
        size = _SIZE.search(level)
        if size is not None and int(size[1]) * int(size[2]) == num_cells:
            return level
    return ""


def columns_of(num_cells: int, level: str) -> int:
    """Of the grid of a puzzle: by the level's name, else square, else one row."""
    size = _SIZE.search(level)
    side = math.isqrt(num_cells)
    return int(size[2]) if size is not None else side if side * side == num_cells else num_cells


def _grid(cells: np.ndarray, answer: np.ndarray, before: np.ndarray, level: str) -> str:
    columns, items = columns_of(len(cells), level), []
    for given, now, then in zip(cells.tolist(), answer.tolist(), before.tolist()):
        is_given = given == now and _symbol(given, level) != ""
        kind = "given" if is_given else "new" if now != then else ""
        items.append(f'<b class="{kind}">{text(_symbol(now, level))}</b>')
    label = f"answer with {int((answer != before).sum())} changed cells"
    return (
        f'<div class="grid" role="img" aria-label="{text(label)}" style="--columns:{columns}">'
        f"{''.join(items)}</div>"
    )


def _symbol(cell: int, level: str) -> str:
    """A sudoku's cells are 1 for an empty one, then its digits; of other tasks the number itself."""
    if level.startswith("sudoku"):
        return str(cell - 1) if cell > 1 else ""
    if level.startswith("maze"):
        return _MAZE.get(cell, "?")
    return str(cell)
