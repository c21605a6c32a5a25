"""`--data`: puzzles from files instead of fresh ones.

Invariant: what a folder is, its files tell; a file that is no data of the task is one UserError.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sage.app.errors import UserError
from sage.hrm_core.tasks.contract import Task

_FORMS = {
    "sudoku": "a folder with train.csv and test.csv, or a CSV file and --eval-data",
    "maze": "an .npz with train_inputs, train_labels, dev_inputs, dev_labels",
}


def load_data(task: str, path: Path, options: dict[str, Any], evaluation: Path | None = None) -> Task:
    """The task on the puzzles in `path`, a folder or file of a form it is published in; evaluation: a second file."""
    for given, flag in ((path, "--data"), (evaluation, "--eval-data")):
        if given is not None and not given.exists():
            raise UserError(f"{flag} {given}: no such file or folder: give {_FORMS.get(task, 'a built data set')}")
    try:
        if (path / "train" / "dataset.json").is_file():
            return _built(task, path)
        loaders: dict[str, Callable[[Path, Path | None, dict[str, Any]], Task]] = {"sudoku": _sudoku, "maze": _maze}
        if task not in loaders:
            raise ValueError(f"{path}: {task} puzzles are made fresh, these are no built data set: leave --data out")
        return loaders[task](path, evaluation, options)
    except ValueError as error:
        raise UserError(f"--data {error}") from error


def _built(task: str, path: Path) -> Task:
    """A folder in the published layout."""
    if find_spec("sage.hrm_core.datasets.load") is None:
        raise ValueError(f"{path}: folders of the published layout are not read by this version: give {_FORMS.get(task)}")
    from importlib import import_module

    loaded: Task = import_module("sage.hrm_core.datasets.load").load_task(path, task)
    return loaded


def _sudoku(path: Path, evaluation: Path | None, options: dict[str, Any]) -> Task:
    from sage.hrm_core.tasks.sudoku_files import LoadedSudoku
    from sage.hrm_core.tasks.sudoku_grid import box_of_size

    train = path
    if path.is_dir():
        train, evaluation = path / "train.csv", evaluation or path / "test.csv"
        for file in (train, evaluation):
            if not file.is_file():
                raise ValueError(f"{path}: {file.name} is missing: give {_FORMS['sudoku']}")
    return LoadedSudoku(train, evaluation, box=box_of_size(int(options.get("size", 9))))


def _maze(path: Path, evaluation: Path | None, options: dict[str, Any]) -> Task:
    from sage.hrm_core.tasks.maze import LoadedMazes

    return LoadedMazes(path)
