"""Puzzles of one task from a file: the published forms, and text with one or more puzzles.

Invariant: what is returned is proper: each puzzle has the task's form, a given solution of a sudoku or a maze
solves it, and where the task states that a puzzle has one solution, it has exactly one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from sage.errors import InputError, SageError
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.tasks.contract import Examples, Task, TextForm, check_examples
from sage.hrm_core.tasks.loaded import Loaded
from sage.hrm_core.tasks.maze.grid import solve_mazes
from sage.hrm_core.tasks.maze.task import LoadedMazes, MazeRules
from sage.hrm_core.tasks.proper import check_proper
from sage.hrm_core.tasks.puzzle_text import split_puzzles
from sage.hrm_core.tasks.split import without_ids
from sage.hrm_core.tasks.sudoku import text as sudoku_text
from sage.hrm_core.tasks.sudoku.files import columns_of, load_csv_lines
from sage.hrm_core.tasks.sudoku.grid import solve_grids
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuRules
from sage.user_file import read_user_text

#: Search steps for one puzzle. A puzzle that they do not decide is accepted.
MAX_STEPS = 200_000
#: So many puzzles are counted sooner in Python than the search is compiled.
FEW = 64
#: Examples of a folder that are read; augmented folders have millions.
MAX_ROWS = 100_000
#: Examples whose solutions are checked together.
PART = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleFile:
    """puzzles: to pose.  has_solutions: the labels are solutions; else they repeat the inputs.  held_out: of
    a file that has an evaluation side, else no rows.
    """

    puzzles: Examples
    has_solutions: bool
    held_out: Examples


def read_puzzle_file(path: Path, name: str, task: Task) -> PuzzleFile:
    """The puzzles in `path`, in the form of `task`, which the catalogue has as `name`.

    Read: a folder that `sage data build` made; sudoku: a CSV file with question and answer; maze: an .npz;
    any task with a text form: text. InputError in one line: no such file, another form, a puzzle with a
    contradiction, without a solution or with several.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder: give a file of {name} puzzles")
    if path.is_dir():
        folder = FolderTask(FolderConfig(path=str(path)))
        return _of_sides(folder.training(MAX_ROWS), folder.held_out(MAX_ROWS), task, path)
    if name == "maze" and path.suffix == ".npz":
        mazes: Loaded = LoadedMazes(path)
        return _of_sides(mazes.train, mazes.dev, task, path)
    if isinstance(task, SudokuRules):
        return _sudokus(path, task)
    return _written(path, name, task)


def _of_sides(puzzles: Examples, held_out: Examples, task: Task, path: Path) -> PuzzleFile:
    num_cells = puzzles.inputs.shape[1]
    if num_cells != task.spec.seq_len:
        raise InputError(
            f"{path}: puzzles of {num_cells} cells, the level has {task.spec.seq_len}: give its options the"
            " file's size"
        )
    if not len(puzzles):
        raise InputError(f"{path}: no puzzles to pose: give a file with a training side")
    for side, examples in (("training", puzzles), ("evaluation", held_out)):
        _check_side(examples, task, f"{path}: the {side} side")
    return PuzzleFile(puzzles=puzzles, has_solutions=True, held_out=held_out)


def _check_side(examples: Examples, task: Task, where: str) -> None:
    """InputError for symbols that the task does not have, and for sudokus and mazes that are not proper."""
    try:
        check_examples(without_ids(examples.inputs, examples.labels), task.spec)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not isinstance(task, (SudokuRules, MazeRules)):
        return
    for first in range(0, len(examples), PART):
        part = examples.take(slice(first, first + PART))
        wrong = np.flatnonzero(~task.verify(part.inputs, part.answers()))
        if len(wrong):
            raise InputError(
                f"{where}: puzzle {first + wrong[0] + 1}: its solution does not solve it: correct or remove"
                " it"
            )
    if isinstance(task, SudokuRules) and len(examples):
        counts = _counts(examples.inputs.astype(np.int64) - BLANK, task)
        _need_proper(counts, lambda row: f"{where}: puzzle {row + 1}")


def _need_proper(counts: np.ndarray, place: Callable[[int], str]) -> None:
    """InputError for the first puzzle whose count of solutions is 0, or more than 1."""
    improper = np.flatnonzero((counts == 0) | (counts > 1))
    if len(improper):
        row = int(improper[0])
        fault = "more than one solution" if counts[row] else "no solution"
        raise InputError(f"{place(row)}: the puzzle has {fault}: correct or remove it")


def _sudokus(path: Path, task: SudokuRules) -> PuzzleFile:
    """A CSV file of questions and answers, or text. Solutions are counted by the compiled search."""
    lines: list[int] = []
    if _is_table(path):
        puzzles, lines = load_csv_lines(path, task.box)
        grids = puzzles.inputs.astype(np.int64) - BLANK
    else:
        grids = np.array(_sudoku_grids(path, task), np.int64)
    if not len(grids):
        raise InputError(f"{path}: no puzzles: give one or more")
    _need_proper(
        _counts(grids, task), lambda row: f"{path}: {f'line {lines[row]}' if lines else f'puzzle {row + 1}'}"
    )
    if not lines:
        solved = solve_grids(grids, task.box, max_steps=MAX_STEPS)
        undecided = np.flatnonzero(solved.counts < 0)
        if len(undecided):
            raise InputError(
                f"{path}: puzzle {undecided[0] + 1}: no solution found in {MAX_STEPS} search steps: give a"
                " CSV file of question,answer"
            )
        puzzles = without_ids(grids + BLANK, solved.solutions + BLANK)
    return PuzzleFile(puzzles=puzzles, has_solutions=True, held_out=puzzles.take(slice(0)))


def _counts(grids: np.ndarray, task: SudokuRules) -> np.ndarray:
    """(N,) solutions up to 2, -1 where the steps do not decide: by the compiled search for many grids."""
    if len(grids) > FEW:
        return solve_grids(grids, task.box, max_steps=MAX_STEPS).counts
    found = [task.count_solutions(grid + BLANK) for grid in grids]
    return np.array([-1 if count is None else count for count in found])


def _is_table(path: Path) -> bool:
    """Whether it is a CSV file with a question and an answer in each row."""
    lines = _text(path).splitlines()
    return {"question", "answer"} <= set(columns_of(next(csv.reader(lines[:1]), ())))


def _sudoku_grids(path: Path, task: SudokuRules) -> list[np.ndarray]:
    texts = split_puzzles("sudoku", _text(path))
    return [
        _named(path, number, partial(sudoku_text.read, text, task.box))
        for number, text in enumerate(texts, start=1)
    ]


def _named(path: Path, number: int, read: Callable[[], np.ndarray]) -> np.ndarray:
    """What `read` returns; its error with the file and the puzzle's number, from 1."""
    try:
        return read()
    except SageError as error:
        raise InputError(f"{path}: puzzle {number}: {error}") from error


def _written(path: Path, name: str, task: Task) -> PuzzleFile:
    if not hasattr(task, "encode"):
        raise InputError(f"{path}: {name} has no text form: give a folder that sage data build made")

    def read(text: str) -> np.ndarray:
        cells = cast(TextForm, task).encode(text)
        check_proper(task, cells)
        return cells

    texts = split_puzzles(name, _text(path))
    rows = [_named(path, number, partial(read, text)) for number, text in enumerate(texts, start=1)]
    inputs = np.array(rows, np.int32)
    puzzles = without_ids(inputs, _solutions(inputs, task))
    is_solved = bool(task.verify(puzzles.inputs, puzzles.labels).all())
    return PuzzleFile(puzzles=puzzles, has_solutions=is_solved, held_out=puzzles.take(slice(0)))


def _solutions(inputs: np.ndarray, task: Task) -> np.ndarray:
    """Of a maze the shortest way; of another task the inputs again, which solve nothing."""
    return solve_mazes(inputs, task.size).cells if isinstance(task, MazeRules) else inputs


def _text(path: Path) -> str:
    try:
        return read_user_text(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}: give a text file") from error
