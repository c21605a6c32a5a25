"""A folder of mazes from published CSV files, an .npz, or a generator, in up to eight symmetric forms each.

Invariant: form 0 is the maze as published. A turned maze is solved again, because the label is the first of the
shortest paths. Every side is read and checked before anything is written.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.datasets.build_sudoku import subsampled
from sage.hrm_core.datasets.layout import FolderFacts, check, new_folder, write_identifiers, write_ungrouped
from sage.hrm_core.datasets.source import source_file
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.maze.grid import NUM_TURNS, solve_mazes, turned, valid_ways
from sage.hrm_core.tasks.maze.symbols import SYMBOLS
from sage.hrm_core.tasks.maze.task import LoadedMazes, MazeConfig, MazeTask
from sage.hrm_core.tasks.split import without_ids
from sage.user_file import read_user_text

SOURCE = "sapientinc/maze-30x30-hard-1k"
GENERATED = "generated"
#: Mazes on either side of a generated set, unless fewer are asked for.
NUM_GENERATED = 1000
#: Mazes made by one compiled call: a signal is handled between two.
CHUNK = 20


def build_maze(
    source: str | Path = SOURCE,
    *,
    out: Path,
    subsample_size: int | None = None,
    num_aug: int = 0,
    seed: int = 0,
) -> FolderFacts:
    """source: a folder with train.csv and test.csv, an .npz, a data set on the hub, or "generated"
    (Maze-Hard's distribution).  subsample_size: training mazes; of a generated set also the test mazes, at most
    1,000. Published test sets stay whole.  num_aug: 0 to 7 turned forms of each training maze.
    """
    if not 0 <= num_aug < NUM_TURNS:
        raise InputError(f"num_aug is {num_aug}: give 0 to {NUM_TURNS - 1}, a maze has eight forms")
    if subsample_size is not None and subsample_size < 1:
        raise InputError(f"subsample_size is {subsample_size}: give 1 or more")
    rng = np.random.default_rng(seed)
    sides = _read(source, subsample_size, rng)
    out = new_folder(out)
    for side, examples in sides.items():
        forms = 1 + num_aug if side == "train" else 1
        chosen = subsampled(examples, subsample_size, rng) if side == "train" else examples
        whole = _in_forms(chosen, forms)
        write_ungrouped(out / side, whole.inputs, whole.labels, vocab_size=len(SYMBOLS) + 1, forms=forms)
    write_identifiers(out, [])
    return check(out)


def _read(source: str | Path, num: int | None, rng: np.random.Generator) -> dict[str, Examples]:
    if source == GENERATED:
        task = MazeTask(MazeConfig())
        num = num or NUM_GENERATED
        return {
            "train": _joined([task.sample(size, rng) for size in _chunks(num)]),
            "test": task.held_out(min(num, NUM_GENERATED)),
        }
    if Path(source).suffix == ".npz":
        loaded = LoadedMazes(Path(source))
        return {"train": loaded.train, "test": loaded.dev}
    return {side: _load_csv(source_file(source, side)) for side in ("train", "test")}


def _chunks(num: int) -> list[int]:
    return [min(CHUNK, num - start) for start in range(0, num, CHUNK)]


def _joined(parts: list[Examples]) -> Examples:
    return Examples(
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        puzzle_ids=np.concatenate([part.puzzle_ids for part in parts]),
    )


def _load_csv(file: Path) -> Examples:
    """Columns question and answer, size * size symbols of "# SGo" each."""
    lines = io.StringIO(read_user_text(file), newline="")
    rows = [(row.get("question") or "", row.get("answer") or "") for row in csv.DictReader(lines)]
    length = len(rows[0][0]) if rows else 0
    size = round(length**0.5)
    if not rows or size**2 != length:
        raise InputError(
            f"{file}: {len(rows)} mazes of {length} cells: give columns question and answer, square mazes"
        )
    for number, row in enumerate(rows, start=2):
        if any(len(text) != length or set(text) - set(SYMBOLS) for text in row):
            raise InputError(f"{file}: line {number}: give {length} symbols of {SYMBOLS!r}")
    inputs, labels = (
        np.array([[SYMBOLS.index(each) + 1 for each in row[at]] for row in rows], np.int32) for at in (0, 1)
    )
    wrong = np.flatnonzero(~valid_ways(inputs, labels, size, is_shortest=True))
    if len(wrong):
        raise InputError(
            f"{file}: line {wrong[0] + 2}: the answer is not a shortest path: correct or remove the line"
        )
    return without_ids(inputs, labels)


def _in_forms(examples: Examples, forms: int) -> Examples:
    """Each maze `forms` times in a row: as it is, then turned in the order of the turns."""
    if forms == 1:
        return examples
    size = round(examples.inputs.shape[1] ** 0.5)
    repeated = examples.take(np.repeat(np.arange(len(examples)), forms))
    turns = np.tile(np.arange(forms), len(examples))
    inputs = turned(repeated.inputs, turns, size)
    solved = solve_mazes(inputs, size).cells
    labels = np.where((turns == 0)[:, None], repeated.labels, solved)
    return without_ids(inputs, labels)
