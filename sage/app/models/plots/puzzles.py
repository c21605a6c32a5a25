"""Puzzles as grids: the puzzle, the answer, the target.

Invariant: a wrong cell is red in every picture, and marked by a shape as well as by its colour.
Shapes: L cells of a grid (rows, cols); T segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.app.models.plots.figure import BLUE, GREEN, INK, MUTED, PAPER, RED, RULE, new_figure, set_title
from sage.errors import InputError
from sage.hrm_core.tasks.contract import IGNORED, Task

_MAX_PANELS = 8
#: A maze's cells, by their number in its task: pad, wall, open, start, goal, path.
_MAZE_COLOURS = (MUTED, INK, PAPER, GREEN, RED, BLUE)
_WALL, _OPEN, _START, _GOAL, _PATH = range(1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One grid. cells: (L,).  changed: (L,) bool, cells to tint.  is_answer: has cells beyond the puzzle's.
    is_judged: the title counts its wrong cells.
    """

    title: str
    cells: np.ndarray
    is_answer: bool = True
    is_judged: bool = True
    changed: np.ndarray | None = None


def draw_answer(task: Task, puzzle: np.ndarray, answer: np.ndarray, target: np.ndarray | None = None) -> Any:
    """Puzzle, answer and target side by side; all (L,)."""
    panels = [Panel(title="puzzle", cells=puzzle, is_answer=False), Panel(title="answer", cells=answer)]
    if target is not None:
        panels.append(Panel(title="target", cells=target, is_judged=False))
    return draw_panels(task, puzzle, panels, target)


def draw_forming(
    task: Task, puzzle: np.ndarray, answers: np.ndarray, confidence: np.ndarray, target: np.ndarray | None
) -> Any:
    """The answer after each segment, with its changed cells tinted and the Q head's confidence in the title;
    at most eight of them. answers: (T, L).  confidence: (T,).
    """
    shown = np.unique(np.linspace(0, len(answers) - 1, min(len(answers), _MAX_PANELS)).round().astype(int))
    panels, before = [], puzzle
    for segment in shown:
        title = f"after {segment + 1} (q {confidence[segment]:.2f})"
        panels.append(Panel(title=title, cells=answers[segment], changed=answers[segment] != before))
        before = answers[segment]
    return draw_panels(task, puzzle, panels, target)


def draw_panels(task: Task, puzzle: np.ndarray, panels: list[Panel], target: np.ndarray | None) -> Any:
    """Panels in one row, or in two from five on. puzzle, target: (L,)."""
    grid = task.spec.grid
    if grid is None:
        raise InputError(f"task {task.spec.name} has no grid to draw")
    num_rows, num_cols = (1, len(panels)) if len(panels) <= 4 else (2, (len(panels) + 1) // 2)
    size = 2.6 if grid[1] <= 16 else 3.6
    figure, axes = new_figure(
        num_rows, num_cols, width=size * num_cols, height=(size * grid[0] / grid[1] + 0.4) * num_rows
    )
    for axis, panel in zip(axes.flat, panels):
        wrong = _wrong_cells(task, puzzle, panel, target)
        draw = _draw_maze if task.spec.name == "maze" else _draw_symbols
        draw(axis, task, puzzle, panel, wrong)
        faults = (
            ""
            if not (panel.is_answer and panel.is_judged) or wrong is None
            else (f": {wrong.sum()} wrong" if wrong.any() else ": right")
        )
        set_title(axis, f"{panel.title}{faults}", 10 if len(panels) <= 4 else 8)
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    return figure


def _wrong_cells(
    task: Task, puzzle: np.ndarray, panel: Panel, target: np.ndarray | None
) -> np.ndarray | None:
    """(L,) bool by the target. Without one, None unless the rules accept the answer."""
    if target is not None:
        wrong: np.ndarray = (panel.cells != target) & (target != IGNORED)
        return wrong
    is_right = bool(task.verify(puzzle[None], panel.cells[None])[0])
    return np.zeros(len(puzzle), bool) if is_right else None


def _draw_symbols(axis: Any, task: Task, puzzle: np.ndarray, panel: Panel, wrong: np.ndarray | None) -> None:
    """Symbols in cells: given ones bold, answered ones blue, wrong ones red and struck through."""
    assert task.spec.grid is not None
    num_rows, num_cols = task.spec.grid
    given, symbols = puzzle != _blank_of(task), symbols_of(task, panel.cells)
    for cell, symbol in enumerate(symbols):
        row, col = divmod(cell, num_cols)
        is_wrong = panel.is_answer and wrong is not None and bool(wrong[cell])
        if panel.changed is not None and panel.changed[cell]:
            axis.fill_between([col, col + 1], row, row + 1, color="#e8f0f8", zorder=0)
        if symbol in ". ":
            continue
        colour = RED if is_wrong else INK if given[cell] else BLUE
        size = 110 / max(num_rows, num_cols) + 1
        place = {"ha": "center", "va": "center", "fontsize": size, "color": colour}
        axis.text(col + 0.5, row + 0.52, symbol, fontweight="bold" if given[cell] else "normal", **place)
        if is_wrong:
            axis.plot([col + 0.15, col + 0.85], [row + 0.85, row + 0.15], color=RED, linewidth=0.8)
    _draw_lines(axis, num_rows, num_cols, getattr(task, "box", None))


def _draw_lines(axis: Any, num_rows: int, num_cols: int, box: Any) -> None:
    """Thin lines between cells, thick ones between boxes."""
    row_step, col_step = (num_rows, num_cols) if box is None else (box.rows, box.cols)
    for row in range(num_rows + 1):
        axis.axhline(
            row, color=INK if row % row_step == 0 else RULE, linewidth=1.2 if row % row_step == 0 else 0.6
        )
    for col in range(num_cols + 1):
        axis.axvline(
            col, color=INK if col % col_step == 0 else RULE, linewidth=1.2 if col % col_step == 0 else 0.6
        )
    axis.set_xlim(0, num_cols)
    axis.set_ylim(num_rows, 0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_maze(axis: Any, task: Task, puzzle: np.ndarray, panel: Panel, wrong: np.ndarray | None) -> None:
    """Walls, and the path over them: dots for cells answered as path, crosses for wrong cells."""
    assert task.spec.grid is not None
    colours = np.array([[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in _MAZE_COLOURS]) / 255
    axis.imshow(colours[np.clip(puzzle, 0, _PATH)].reshape(*task.spec.grid, 3), interpolation="nearest")
    if not panel.is_answer:
        return
    is_path = (panel.cells == _PATH) & (puzzle == _OPEN)
    is_wrong = np.zeros_like(is_path) if wrong is None else wrong
    size = 700 / max(task.spec.grid) ** 1.5
    for which, marker, colour in ((is_path & ~is_wrong, "o", BLUE), (is_wrong, "x", RED)):
        rows, cols = np.divmod(np.flatnonzero(which), task.spec.grid[1])
        axis.scatter(cols, rows, s=size, marker=marker, color=colour, linewidths=0 if marker == "o" else 1)


def symbols_of(task: Task, cells: np.ndarray) -> str:
    """One symbol a cell, as the task writes them; numbers where it has no text form of one symbol a cell."""
    decode = getattr(task, "decode", None)
    text = "" if decode is None else str(decode(cells)).replace("\n", "")
    return text if len(text) == len(cells) else "".join(str(int(cell) % 10) for cell in cells)


def _blank_of(task: Task) -> int:
    """The blank of a sudoku is 1; other tasks have none."""
    return 1 if hasattr(task, "box") else -1
