"""Build a data set of sudokus from published CSV files: a sample of the training puzzles, each in many
symmetric forms.

Invariants: form 0 of a puzzle is the puzzle as published; the test side is not augmented; both files are read
and checked before anything is written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sage.errors import DataError, InputError
from sage.hrm_core.datasets.layout import FolderFacts, check, new_folder, write_identifiers, write_ungrouped
from sage.hrm_core.datasets.source import source_file
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.sudoku.files import load_csv
from sage.hrm_core.tasks.sudoku.grid import box_of_size
from sage.hrm_core.tasks.sudoku.task import SudokuRules

SOURCE = "sapientinc/sudoku-extreme"
CHUNK = 50_000


def build_sudoku(
    source: str | Path = SOURCE,
    *,
    out: Path,
    subsample_size: int | None = None,
    num_aug: int = 0,
    seed: int = 0,
    min_difficulty: int | None = None,
) -> FolderFacts:
    """Read train.csv and test.csv of `source` and write the data set to the new folder `out`.

    subsample_size: number of training puzzles. num_aug: further symmetric forms of each. min_difficulty:
    lowest rating of a puzzle that is used. InputError for a wrong option, DataError for a wrong file.
    """
    if num_aug < 0 or (subsample_size is not None and subsample_size < 1):
        raise InputError(
            f"num_aug is {num_aug}, subsample_size is {subsample_size}: give 0 or more forms, 1 puzzle or"
            " more"
        )
    files = {side: source_file(source, side) for side in ("train", "test")}
    rules, rng = SudokuRules(box_of_size(9)), np.random.default_rng(seed)
    sides = {side: _read(file, rules, min_difficulty) for side, file in files.items()}
    out = new_folder(out)
    for side, examples in sides.items():
        forms = 1
        if side == "train":
            examples, forms = subsampled(examples, subsample_size, rng), 1 + num_aug
            examples = _in_forms(rules, examples, forms, rng)
        write_ungrouped(
            out / side, examples.inputs, examples.labels, vocab_size=rules.spec.vocab_size, forms=forms
        )
    write_identifiers(out, [])
    return check(out)


def _read(file: Path, rules: SudokuRules, min_difficulty: int | None) -> Examples:
    examples = load_csv(file, rules.box, min_rating=min_difficulty)
    if not len(examples):
        least = "" if min_difficulty is None else f" with a rating of at least {min_difficulty}"
        raise DataError(f"{file}: no puzzles{least}: give at least one row")
    return examples


def subsampled(examples: Examples, size: int | None, rng: np.random.Generator) -> Examples:
    """`size` examples drawn without replacement; all where there are at most `size`."""
    if size is None or size >= len(examples):
        return examples
    return examples.take(rng.choice(len(examples), size=size, replace=False))


def _in_forms(rules: SudokuRules, examples: Examples, forms: int, rng: np.random.Generator) -> Examples:
    """Each puzzle in `forms` forms, one after the other: itself, then random symmetric forms."""
    repeated = examples.take(np.repeat(np.arange(len(examples)), forms))
    inputs, labels = repeated.inputs.astype(np.uint8), repeated.labels.astype(np.uint8)
    is_moved = np.flatnonzero(np.arange(len(repeated)) % forms)
    for start in range(0, len(is_moved), CHUNK):
        rows = is_moved[start : start + CHUNK]
        moved = rules.transform(repeated.take(rows), rng)
        inputs[rows], labels[rows] = moved.inputs, moved.labels
    return Examples(inputs=inputs, labels=labels, puzzle_ids=repeated.puzzle_ids)
