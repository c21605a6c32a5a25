"""Data set folders to look at: what they hold, and pages of examples with their puzzle, form and identifier.

Invariant: a data set is reached by a name that `find_datasets` gave; nothing outside the given folders is
read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.boards.board import Board, board_of_shape
from sage.errors import DataError, InputError
from sage.hrm_core.datasets.layout import SIDES, Side, read_identifiers, read_side

MAX_DATASETS = 200
MAX_DEPTH = 4
MAX_PAGE = 100
_MAX_VISITED = 5000


def find_datasets(roots: Iterable[Path]) -> dict[str, Path]:
    """Name -> folder of the data sets in `roots`, to MAX_DEPTH folders down, at most MAX_DATASETS. A name is
    the path from the root's parent. Links are not followed.
    """
    found: dict[str, Path] = {}
    for root in roots:
        whole = Path(root).resolve()
        for num_before, (folder, subfolders, _) in enumerate(os.walk(whole)):
            path = Path(folder)
            is_dataset = all((path / side / "dataset.json").is_file() for side in SIDES)
            if is_dataset and len(found) < MAX_DATASETS and _is_inside(path, whole):
                found.setdefault(path.relative_to(whole.parent).as_posix(), path)
            is_deep = len(path.relative_to(whole).parts) >= MAX_DEPTH or num_before >= _MAX_VISITED
            subfolders[:] = [] if is_dataset or is_deep else sorted(subfolders)
    return found


def _is_inside(folder: Path, root: Path) -> bool:
    """Whether every file of the data set is below the root, links resolved."""
    files = [folder / "identifiers.json", *(path for side in SIDES for path in (folder / side).iterdir())]
    return all(path.resolve().is_relative_to(root) for path in files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which examples.  identifier: part of the identifier's name, group: its number; None: all."""

    side: str = "train"
    start: int = 0
    num: int = 12
    identifier: str | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise InputError(f"side is {self.side[:64]!r}: give {' or '.join(SIDES)}")
        if self.start < 0:
            raise InputError(f"start is {self.start}: give 0 or more")
        if not 1 <= self.num <= MAX_PAGE:
            raise InputError(f"num is {self.num}: give 1 to {MAX_PAGE}")


class DatasetView:
    """A data set folder in the published layout. DataError where it is not one."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.name = folder.name if name is None else name
        self._sides = {side: read_side(folder / side) for side in SIDES}
        self._identifiers = read_identifiers(folder)
        metadata = self._sides["train"].metadata
        most = max(side.metadata.num_puzzle_identifiers for side in self._sides.values())
        if len(self._identifiers) < most:
            raise DataError(
                f"{folder}: identifiers.json has {len(self._identifiers)} of {most} names: build the data set"
                " again"
            )
        self._num_cells, self._num_symbols = metadata.seq_len, metadata.vocab_size
        width = round(self._num_cells**0.5)
        grid = (width, width) if width**2 == self._num_cells else None
        self.board: Board = board_of_shape(self._num_cells, self._num_symbols, grid)

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "num_cells": self._num_cells,
            "num_symbols": self._num_symbols,
            "num_identifiers": len(self._identifiers),
            "board": self.board.to_plain(),
            "sides": {
                name: {
                    "num_examples": side.num_examples,
                    "num_puzzles": side.num_puzzles,
                    "num_groups": side.num_groups,
                }
                for name, side in self._sides.items()
            },
        }

    def examples(self, choice: Choice) -> dict[str, Any]:
        """A page, for JSON: `num_found` examples in all, those from `start` on in the folder's order."""
        side = self._sides[choice.side]
        rows = self._rows(side, choice)
        shown = rows[choice.start : choice.start + choice.num]
        return {
            "side": choice.side,
            "start": choice.start,
            "num_found": len(rows),
            "examples": [self._plain(side, int(row)) for row in shown],
        }

    def _rows(self, side: Side, choice: Choice) -> np.ndarray | range:
        if choice.identifier is None and choice.group is None:
            return range(side.num_examples)
        is_chosen = np.ones(side.num_puzzles, bool)
        if choice.group is not None:
            numbers = np.arange(side.num_puzzles)
            is_chosen &= np.searchsorted(side.group_indices, numbers, side="right") - 1 == choice.group
        if choice.identifier is not None:
            wanted = [i for i, name in enumerate(self._identifiers) if choice.identifier in name]
            is_chosen &= np.isin(side.puzzle_identifiers, wanted)
        found: np.ndarray = np.flatnonzero(np.repeat(is_chosen, np.diff(side.puzzle_indices)))
        return found

    def _plain(self, side: Side, row: int) -> dict[str, Any]:
        puzzle = int(np.searchsorted(side.puzzle_indices, row, side="right")) - 1
        group = int(np.searchsorted(side.group_indices, puzzle, side="right")) - 1
        first, after = (int(each) for each in side.group_indices[group : group + 2])
        return {
            "index": row,
            "group": group,
            "form": puzzle - first + 1,
            "num_forms": after - first,
            "identifier": self._identifiers[int(side.puzzle_identifiers[puzzle])],
            "input": side.inputs[row].tolist(),
            "label": side.labels[row].tolist(),
        }


def open_dataset(folder: Path, name: str) -> DatasetView:
    """Read again only where it was built again. DataError where it is not a data set."""
    stamps = tuple((folder / side / "dataset.json").stat().st_mtime_ns for side in SIDES)
    return _opened(folder, name, stamps)


@lru_cache(maxsize=4)
def _opened(folder: Path, name: str, _: tuple[int, ...]) -> DatasetView:
    return DatasetView(folder, name)
