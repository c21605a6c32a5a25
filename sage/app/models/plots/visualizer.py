"""HRMVisualizer: every picture as one method, for notebooks and scripts. Needs the extra `viz`.

Invariant: each method writes one file into `save_dir` and returns its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sage.app.models.plots.architecture import draw_architecture, draw_flow
from sage.app.models.plots.figure import FORMATS, save_figure
from sage.app.models.plots.puzzles import Panel, draw_answer, draw_panels
from sage.app.models.plots.training import draw_epochs, draw_training
from sage.errors import InputError
from sage.hrm_core.solving.trajectory import record_trajectory
from sage.hrm_core.tasks.catalogue import make_task

if TYPE_CHECKING:
    from sage.hrm_core.model.hrm import HRM

#: Cells of a maze as they are given here -> as the maze task numbers them: open, wall, path.
_MAZE_CELLS = np.array([2, 1, 5], np.int32)


class HRMVisualizer:
    """Pictures of puzzles, training and models.

    save_dir: the folder for the files, made when the first is written.  format: png, svg or pdf.
    """

    def __init__(self, save_dir: str | Path = "visualizations", *, format: str = "png") -> None:
        if f".{format}" not in FORMATS:
            raise InputError(f"format is {format!r}: give one of {', '.join(each[1:] for each in FORMATS)}")
        self.save_dir = Path(save_dir)
        self._format = format

    def plot_sudoku_solving(
        self, puzzle: Any, solution: Any, prediction: Any = None, save_name: str = "sudoku_example"
    ) -> Path:
        """Puzzle, prediction (when given, its wrong cells marked) and solution side by side.

        Each an array or nested list of n x n or n * n numbers, 0 for a blank, 1 to n else.
        """
        cells = _cells(puzzle, "puzzle")
        task = make_task("sudoku", size=isqrt(len(cells)))
        target = _like(solution, cells, "solution") + 1
        if prediction is None:
            panels = [_given("puzzle", cells + 1), Panel(title="solution", cells=target, is_judged=False)]
            return self._save(draw_panels(task, cells + 1, panels, target), save_name)
        answer = _like(prediction, cells, "prediction") + 1
        return self._save(draw_answer(task, cells + 1, answer, target), save_name)

    def plot_maze_solving(self, maze: Any, solution: Any, save_name: str = "maze_example") -> Path:
        """Maze and solution side by side, each n x n or n * n cells: 0 open, 1 wall; in solution also 2,
        path.
        """
        cells, path = _cells(maze, "maze"), _like(solution, _cells(maze, "maze"), "solution")
        for name, values, largest in (("maze", cells, 1), ("solution", path, 2)):
            if values.min() < 0 or values.max() > largest:
                raise InputError(
                    f"{name} has cells from {values.min()} to {values.max()}: give 0 to {largest}"
                )
        task = make_task("maze", size=isqrt(len(cells)))
        puzzle = _MAZE_CELLS[cells]
        panels = [_given("maze", puzzle), Panel(title="solution", cells=_MAZE_CELLS[path], is_judged=False)]
        return self._save(draw_panels(task, puzzle, panels, None), save_name)

    def plot_training_dynamics(
        self, metrics: Sequence[Mapping[str, Any]], save_name: str = "training_dynamics"
    ) -> Path:
        """Loss, accuracy and segments over training.

        metrics: one mapping per epoch with `epoch` and any of `total_loss`, `eval_accuracy`, `avg_steps`; or
        the lines of a run's metrics.jsonl, which have `step`.
        """
        if not metrics:
            raise InputError("metrics is empty: give one mapping per epoch or step")
        lines = [dict(line) for line in metrics]
        draw = draw_training if "step" in lines[0] else draw_epochs
        return self._save(draw(lines), save_name)

    def plot_architecture(self, model: HRM, save_name: str = "architecture") -> Path:
        """Input, both nets and heads of `model`, with their sizes and parameter counts."""
        return self._save(draw_architecture(model), save_name)

    def plot_hl_flow(
        self, model: HRM, inputs: Any, num_segments: int = 4, save_name: str = "hl_flow"
    ) -> Path:
        """The calls of the H and L nets over `num_segments` segments on inputs (N, L), with the step of
        each.
        """
        rows = np.atleast_2d(np.asarray(inputs, np.int32))
        return self._save(draw_flow(record_trajectory(model, rows, num_segments=num_segments)), save_name)

    def _save(self, figure: Any, name: str) -> Path:
        return save_figure(figure, self.save_dir / f"{name}.{self._format}")


def _given(title: str, cells: np.ndarray) -> Panel:
    return Panel(title=title, cells=cells, is_answer=False)


def _cells(values: Any, name: str) -> np.ndarray:
    """(n * n,) int32 of a square given as n x n or flat, as array, tensor or nested list."""
    cells = np.asarray(values).astype(np.int32).ravel()
    if isqrt(cells.size) ** 2 != cells.size or not cells.size:
        raise InputError(f"{name} has {cells.size} cells: give a square")
    return cells


def _like(values: Any, cells: np.ndarray, name: str) -> np.ndarray:
    found = _cells(values, name)
    if found.shape != cells.shape:
        raise InputError(f"{name} has {found.size} cells, the puzzle {cells.size}: give as many")
    return found
