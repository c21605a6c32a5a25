"""Several puzzles in one text."""

from __future__ import annotations


def split_puzzles(task: str, text: str) -> list[str]:
    """The puzzles of a text, in the form that the task's `encode` reads; at least one."""
    if task == "sudoku":
        from sage.hrm_core.tasks.sudoku.forms import puzzles_in

        return puzzles_in(text)
    if task == "maze":
        from sage.hrm_core.tasks.maze.forms import mazes_in

        return mazes_in(text)
    return [text]
