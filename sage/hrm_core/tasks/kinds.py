"""The built-in kinds of tasks, as the catalogue lists them."""

from __future__ import annotations

from sage.hrm_core.tasks.catalogue import TaskKind
from sage.hrm_core.tasks.maze import MazeConfig, MazeTask
from sage.hrm_core.tasks.sudoku import SudokuConfig, SudokuTask

SUDOKU = TaskKind(name="sudoku", about="sudoku of any size, made fresh, one solution each", config=SudokuConfig, build=SudokuTask)
MAZE = TaskKind(
    name="maze", about="the shortest way through random walls, any size, made fresh", config=MazeConfig, build=MazeTask
)
