"""Of the last puzzles of a session those with the most steps, each answer as it formed. Invariant: at most
NUM_BOARDS a stream, NUM_STEPS grids each.
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
#: Puzzles of a stream that these are chosen from: the last ones.
NUM_RECENT = 12
_SIZE = re.compile(r"(\d+)x(\d+)")
_MAZE = {1: "█", 2: "", 3: "S", 4: "G", 5: "•"}


def boards_html(boards: Sequence[Board], levels: Sequence[LevelHistory]) -> str:
    """Empty without a puzzle that has a step."""
    streams = dict.fromkeys(board.stream for board in boards)
    chosen = [
        board
        for stream in streams
        for board in _longest([each for each in boards if each.stream == stream][-NUM_RECENT:])
    ]
    if not chosen:
        return ""
    figures_html = "".join(_board(board, levels, is_named=len(streams) > 1) for board in chosen)
    note = (
        f"Of the last {NUM_RECENT} puzzles in hand those whose answers changed most often: from left to"
        " right the answer after segments, or ticks, in which it changed, and the one that was given. Bold"
        " cells are the puzzle's; a shaded cell is another one than in the grid before."
    )
    return f'<h3>Puzzles in hand</h3><p class="note">{text(note)}</p><div class="boards">{figures_html}</div>'


def _longest(boards: Sequence[Board]) -> list[Board]:
    """Those with the most steps, of equal ones the last, in their order."""
    order = sorted(range(len(boards)), key=lambda index: (len(boards[index].ticks), index))
    return [boards[index] for index in sorted(order[-NUM_BOARDS:])]


def _board(board: Board, levels: Sequence[LevelHistory], *, is_named: bool) -> str:
    num = len(board.ticks)
    steps = np.unique(np.linspace(0, num - 1, min(num, NUM_STEPS)).round().astype(int))
    level = level_of(len(board.cells), [each.name for each in levels if each.stream == board.stream])
    before, grids = board.cells, []
    for step in steps.tolist():
        answer = board.answers[step]
        grid = _grid(board.cells, answer, before, level)
        grids.append(f'<div>{grid}<span class="quiet">{_place(board, step)}</span></div>')
        before = answer
    name = f"{board.stream}: puzzle {board.puzzle}" if is_named else f"puzzle {board.puzzle}"
    parts = [name, board.level or level or "level unknown"]
    if board.num_segments is not None:
        parts += [_counted(board.num_segments, "segment"), board.verdict]
    first, last = _tick(board, 0), _tick(board, -1)
    ticks = first if first == last else f"{first.replace('tick', 'ticks')} to {last.removeprefix('tick ')}"
    parts += [_counted(num, "step"), ticks]
    steps_html = f'<div class="steps" tabindex="0">{"".join(grids)}</div>'
    return f"<figure><figcaption>{text(', '.join(parts))}</figcaption>{steps_html}</figure>"


def _place(board: Board, step: int) -> str:
    """The last step of an answer with a result is what was given, which may be that of an earlier segment."""
    if board.verdict and step == len(board.ticks) - 1:
        return "answer"
    return f"segment {board.segments[step]}" if board.segments else _tick(board, step)


def _tick(board: Board, step: int) -> str:
    return f"tick {figures.count(int(board.ticks[step]))}"


def _counted(num: int, unit: str) -> str:
    return f"{figures.count(num)} {unit}{'' if num == 1 else 's'}"


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
