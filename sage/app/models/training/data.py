"""`--data`: puzzles from files instead of fresh ones.

Invariant: the form is read from the files; a file that is no data of the task raises one UserError.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task

_FORMS = {
    "sudoku": "a CSV file (and --eval-data), or a folder that sage data build made",
    "maze": "an .npz of mazes, or a folder that sage data build made",
}


def reads_second_file(task: str, path: Path | None) -> bool:
    """Whether the puzzles in `path` leave evaluation to a second file."""
    return task == "sudoku" and path is not None and not path.is_dir()


def load_data(task: str, path: Path, options: dict[str, Any], evaluation: Path | None = None) -> Task:
    """The task on the puzzles in `path`: a built folder, or a file of a form it is published in; evaluation:
    a second file.
    """
    forms = _FORMS.get(task, "a folder that sage data build made")
    for given, flag in ((path, "--data"), (evaluation, "--eval-data")):
        if given is not None and not given.exists():
            raise UserError(f"{flag} {given}: no such file or folder: give {forms}")
    if evaluation is not None and not reads_second_file(task, path):
        raise UserError(
            f"--eval-data {evaluation}: --data {path} has an evaluation side of its own, or {task} reads no"
            " second file: leave it out"
        )
    try:
        if path.is_dir():
            return make_task("folder", path=str(path))
        if task == "sudoku":
            return make_task(
                task, **options, train=str(path), dev=None if evaluation is None else str(evaluation)
            )
        if task == "maze":
            return make_task(task, **options, data=str(path))
    except SageError as error:
        raise UserError(f"--data {error}") from error
    raise UserError(f"--data {path}: a file: {task} takes {forms}")
