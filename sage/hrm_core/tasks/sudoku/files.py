"""Sudokus from published CSV files: source,question,answer,rating, as in sapientinc/sudoku-extreme.

Invariant: an answer that does not solve its question is an error that names the line, never a training
example.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.loaded import Loaded
from sage.hrm_core.tasks.split import joined, without_ids
from sage.hrm_core.tasks.sudoku.forms import SYMBOLS
from sage.hrm_core.tasks.sudoku.grid import Box, are_solutions, box_of_size, orbit_keys
from sage.hrm_core.tasks.sudoku.task import BLANK, SudokuConfig, SudokuRules, SudokuTask


class LoadedSudoku(SudokuRules, Loaded):
    """Training and evaluation from two files; either may be missing, not both."""

    def __init__(
        self,
        train: Path | None,
        dev: Path | None,
        *,
        box: Box | None = None,
        max_rows: int | None = None,
        fresh: SudokuTask | None = None,
    ) -> None:
        self._fresh = fresh
        SudokuRules.__init__(self, box or box_of_size(9))
        none = without_ids(*(np.zeros((0, self.box.num_cells)),) * 2)
        sides = [
            none if path is None else load_csv(Path(path), self.box, max_rows=max_rows)
            for path in (train, dev)
        ]
        Loaded.__init__(self, sides[0], sides[1])

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        """Rows of the file, and the share `SudokuConfig.fresh` of fresh ones, in a random order."""
        if self._fresh is None:
            return super().sample(num, rng)
        num_fresh = int(rng.binomial(num, self._fresh.config.fresh))
        rows = joined([super().sample(num - num_fresh, rng), self._fresh.sample(num_fresh, rng)])
        return rows.take(rng.permutation(num))

    def held_out(self, num: int) -> Examples:
        """The rows of `dev`; without that file, fresh ones where training has some."""
        held_out = super().held_out(num)
        return self._fresh.held_out(num) if self._fresh is not None and not len(held_out) else held_out

    def keys(self, examples: Examples) -> np.ndarray:
        return orbit_keys(examples.labels.astype(np.int64) - BLANK, self.box)


def load_csv(path: Path, box: Box, *, max_rows: int | None = None, min_rating: int | None = None) -> Examples:
    """Every row, or the first `max_rows`; of a rating of at least `min_rating`, where one is given."""
    return load_csv_lines(path, box, max_rows=max_rows, min_rating=min_rating)[0]


def load_csv_lines(
    path: Path, box: Box, *, max_rows: int | None = None, min_rating: int | None = None
) -> tuple[Examples, list[int]]:
    """`load_csv`, and the line of the file that each puzzle is in, from 1."""
    questions: list[str] = []
    answers: list[str] = []
    lines: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = columns_of(reader.fieldnames or ())
            reader.fieldnames = columns
            if not {"question", "answer"} <= set(columns):
                named = ", ".join(columns)
                shown = f"its columns are {named[:80]}" if named else "is empty"
                raise InputError(f"{path}: {shown}: give source,question,answer,rating")
            for row in reader:
                if min_rating is not None and _rating(row, path, reader.line_num) < min_rating:
                    continue
                questions.append((row["question"] or "").strip())
                answers.append((row["answer"] or "").strip())
                lines.append(reader.line_num)
                if len(questions) == max_rows:
                    break
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read: {error}: give a CSV file of source,question,answer,rating"
        ) from error
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.reader.line_num}: {error}: correct or remove the line"
        ) from None
    puzzles, solutions = (_grids(rows, lines, path, box) for rows in (questions, answers))
    wrong = np.flatnonzero(~are_solutions(puzzles, solutions, box))
    if len(wrong):
        raise InputError(
            f"{path}: line {lines[wrong[0]]}: the answer does not solve the question: correct or remove the"
            " line"
        )
    return without_ids(puzzles + BLANK, solutions + BLANK), lines


def columns_of(header: Iterable[str]) -> list[str]:
    """The names in the first line of a CSV file, as columns are compared."""
    return [name.strip().lower() for name in header]


def _rating(row: dict[str, str], path: Path, line: int) -> float:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        rating = float(row["rating"])
        if not math.isnan(rating):
            return rating
    raise InputError(f"{path}: line {line}: no rating: give a number, or no least rating")


def _grids(rows: list[str], lines: list[int], path: Path, box: Box) -> np.ndarray:
    """(N, n^2) int64. lines: of the file, of each row."""
    for number, row in zip(lines, rows):
        if len(row) != box.num_cells or not row.isascii():
            raise InputError(
                f"{path}: line {number}: {len(row)} cells: give {box.num_cells}, one character each"
            )
    digit_of = np.full(256, -1, np.int64)
    digit_of[[ord("."), ord("0")]] = 0
    for digit, symbol in enumerate(SYMBOLS[: box.num_digits], start=1):
        digit_of[[ord(symbol), ord(symbol.lower())]] = digit
    grids = digit_of[np.frombuffer("".join(rows).encode(), np.uint8)].reshape(-1, box.num_cells)
    wrong = np.flatnonzero((grids < 0).any(axis=1))
    if len(wrong):
        known = SYMBOLS[: box.num_digits]
        raise InputError(
            f"{path}: line {lines[wrong[0]]}: a symbol other than {known} and '.': correct or remove the line"
        )
    return grids


def build_sudoku_task(config: SudokuConfig) -> SudokuTask | LoadedSudoku:
    """From files where the options name some, else fresh."""
    if config.train is None and config.dev is None:
        return SudokuTask(config)
    train, dev = (None if path is None else Path(path) for path in (config.train, config.dev))
    fresh = SudokuTask(config) if config.fresh and train is not None else None
    return LoadedSudoku(train, dev, box=config.geometry, fresh=fresh)
