"""A folder in the published layout as a task; HRM's, TRM's and our own builders write such folders.

Invariant: in the long run each training example is drawn as often as by the published loaders, which take in
each epoch one puzzle of each group with all its examples: all examples of a group equally often, and a group
as often as its puzzles have examples in the mean. Here draws are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sage.errors import DataError, InputError
from sage.hrm_core.datasets.layout import Side, need_no_gaps, read_side
from sage.hrm_core.tasks.contract import IGNORED, Baseline, Examples, TaskSpec
from sage.hrm_core.tasks.maze.grid import valid_ways
from sage.hrm_core.tasks.maze.symbols import SYMBOLS
from sage.hrm_core.tasks.split import row_keys
from sage.hrm_core.tasks.sudoku.grid import are_solutions, box_of_size, has_boxes
from sage.hrm_core.tasks.sudoku.task import SudokuRules

Rules = Literal["auto", "sudoku", "maze", "labels"]
#: Examples of a side by which `auto` judges the rules.
NUM_LOOKED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderConfig:
    """path: a folder with train/ and test/.  rules: how an answer is verified: sudoku or maze by the rules,
    labels by the folder's label of the same input, auto chosen from the shape and the vocabulary, and from
    whether the first labels keep to these rules."""

    path: str = ""
    rules: Rules = "auto"

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("path is missing: give a data set's folder, with train/ and test/")


class FolderTask:
    """The examples of the folder, without further augmentation."""

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.train, self.test = (read_side(Path(config.path) / name) for name in ("train", "test"))
        if (self.train.metadata.seq_len, self.train.metadata.vocab_size) != (
            self.test.metadata.seq_len,
            self.test.metadata.vocab_size,
        ):
            raise DataError(
                f"{config.path}: train and test differ in length or vocabulary: build the data set again"
            )
        for name, side in (("train", self.train), ("test", self.test)):
            if not side.num_examples:
                raise DataError(f"{config.path}: {name} has no examples: build the data set again")
        need_no_gaps(self.train, Path(config.path) / "train")
        self._group_bounds = self.train.puzzle_indices[self.train.group_indices].astype(np.int64)
        num_puzzles = np.diff(self.train.group_indices.astype(np.int64))
        self._group_shares = np.cumsum(np.diff(self._group_bounds) / num_puzzles)
        self._side_length = round(self.train.metadata.seq_len**0.5)
        self._rules = self._found_rules() if config.rules == "auto" else config.rules
        self._spec = self._made_spec()

    @property
    def spec(self) -> TaskSpec:
        return self._spec

    def _made_spec(self) -> TaskSpec:
        """InputError where rules is sudoku and the size has no boxes."""
        metadata, side = self.train.metadata, self._side_length
        num_ids = metadata.num_puzzle_identifiers if metadata.num_puzzle_identifiers > 1 else 0
        sudoku = SudokuRules(box_of_size(side)).spec if self._rules == "sudoku" else None
        return TaskSpec(
            name=Path(self.config.path).name,
            vocab_size=metadata.vocab_size,
            seq_len=metadata.seq_len,
            grid=(side, side) if side**2 == metadata.seq_len else None,
            num_puzzle_ids=num_ids,
            box=sudoku.box if sudoku else None,
            alike_from=sudoku.alike_from if sudoku else None,
        )

    def _found_rules(self) -> Rules:
        metadata, side = self.train.metadata, self._side_length
        if side**2 != metadata.seq_len:
            return "labels"
        if metadata.vocab_size == side + 2 and has_boxes(side) and self._follow("sudoku"):
            return "sudoku"
        is_maze = metadata.vocab_size == len(SYMBOLS) + 1 and self._follow("maze")
        return "maze" if is_maze else "labels"

    def _follow(self, rules: Rules) -> bool:
        """Whether the labels of the first examples of both sides keep to the rules: other tasks have grids of
        this shape and as many symbols.
        """
        for side in (self.train, self.test):
            inputs, labels = (
                np.asarray(each[:NUM_LOOKED_AT], np.int32) for each in (side.inputs, side.labels)
            )
            if not self._verified(rules, inputs, labels).all():
                return False
        return True

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        side = self.train
        shares, bounds = self._group_shares, self._group_bounds
        groups = np.searchsorted(shares[:-1], rng.random(num) * shares[-1], side="right")
        rows = rng.integers(bounds[groups], bounds[groups + 1])
        return self._examples(side, rows)

    def training(self, num: int) -> Examples:
        """The first `num` (or all there are) training examples, in the folder's order."""
        return self._first(self.train, num)

    def held_out(self, num: int) -> Examples:
        return self._first(self.test, num)

    def _first(self, side: Side, num: int) -> Examples:
        return self._examples(side, np.arange(min(num, side.num_examples)))

    def _examples(self, side: Side, rows: np.ndarray) -> Examples:
        puzzles = np.searchsorted(side.puzzle_indices, rows, side="right") - 1
        labels = side.labels[rows].astype(np.int32)
        if side.metadata.ignore_label_id is not None:
            labels[labels == side.metadata.ignore_label_id] = IGNORED
        ids = (
            side.puzzle_identifiers[puzzles].astype(np.int32)
            if self.spec.num_puzzle_ids
            else np.full(len(rows), -1, np.int32)
        )
        return Examples(inputs=side.inputs[rows].astype(np.int32), labels=labels, puzzle_ids=ids)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._verified(self._rules, inputs, answers)

    def _verified(self, rules: Rules, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        if rules == "sudoku":
            return are_solutions(
                inputs.astype(np.int64) - 1, answers.astype(np.int64) - 1, box_of_size(self._side_length)
            )
        if rules == "maze":
            return valid_ways(inputs, answers, self._side_length, is_shortest=True)
        return self._by_labels(inputs, answers)

    def _by_labels(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """True where the folder has this input with these labels; padding is not compared."""
        wanted, is_right = row_keys(inputs), np.zeros(len(inputs), bool)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        for side in (self.test, self.train):
            for start in range(0, side.num_examples, 4096):
                known = side.inputs[start : start + 4096]
                first, end = (
                    np.searchsorted(ordered, row_keys(known), side=each) for each in ("left", "right")
                )
                for row in np.flatnonzero(first < end):
                    at = order[first[row] : end[row]]  # the inputs of this row's key
                    labels = np.asarray(side.labels[start + row])
                    same = (inputs[at] == known[row]).all(axis=1)
                    is_ignored = labels == side.metadata.ignore_label_id
                    is_right[at] |= same & ((answers[at] == labels) | is_ignored).all(axis=1)
        return is_right

    def baseline(self, inputs: np.ndarray) -> Baseline:
        return Baseline(name="copy the input", answers=np.array(inputs, np.int32))
