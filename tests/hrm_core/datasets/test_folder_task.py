"""A data set folder as a task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.errors import DataError
from sage.hrm_core.datasets.folder_task import FolderConfig, FolderTask
from sage.hrm_core.datasets.layout import write_ungrouped


def test_a_folder_is_a_task(built: Path) -> None:
    task = FolderTask(FolderConfig(path=str(built)))
    examples = task.sample(16, np.random.default_rng(1))
    assert task.spec.num_puzzle_ids == 0
    assert task.verify(examples.inputs, examples.labels).all()
    assert not task.verify(examples.inputs, examples.inputs).any()
    assert len(task.held_out(100)) == 5
    assert (task.spec.box, task.spec.alike_from) == ((3, 3), 2)


def test_a_folder_of_squares_that_are_not_sudokus_is_verified_by_its_labels(tmp_path: Path) -> None:
    grids = np.random.default_rng(0).integers(1, 7, (4, 25))
    for side in ("train", "test"):
        write_ungrouped(tmp_path / side, grids, grids, vocab_size=7, forms=1)
    task = FolderTask(FolderConfig(path=str(tmp_path)))
    assert (task.spec.grid, task.spec.box, task.spec.alike_from) == ((5, 5), None, None)
    assert task.verify(grids, grids).all()
    with pytest.raises(ValueError, match="size is 5"):
        FolderTask(FolderConfig(path=str(tmp_path), rules="sudoku"))


@pytest.mark.parametrize(("side", "vocab_size"), [(10, 12), (6, 6)])
def test_grids_of_the_size_of_sudokus_or_mazes_that_are_neither_are_verified_by_their_labels(
    tmp_path: Path, side: int, vocab_size: int
) -> None:
    """Pictures of ten colours have the symbols of a 10x10 sudoku."""
    grids = np.random.default_rng(0).integers(1, vocab_size, (4, side**2))
    for part in ("train", "test"):
        write_ungrouped(tmp_path / part, grids, grids[:, ::-1], vocab_size=vocab_size, forms=1)
    task = FolderTask(FolderConfig(path=str(tmp_path)))
    assert (task.spec.box, task.spec.alike_from) == (None, None)
    assert task.verify(grids, grids[:, ::-1]).all()


def test_equal_inputs_are_verified_by_any_of_their_labels(tmp_path: Path) -> None:
    inputs = np.array([[1, 1, 2], [2, 1, 1], [1, 1, 2]])
    labels = np.array([[3, 3, 3], [4, 4, 0], [5, 5, 5]])  # 0: does not count
    for side in ("train", "test"):
        write_ungrouped(tmp_path / side, inputs, labels, vocab_size=7, forms=1)
    task = FolderTask(FolderConfig(path=str(tmp_path)))
    asked = np.array([[2, 1, 1], [1, 1, 2], [1, 1, 2], [1, 1, 2], [6, 1, 2], [2, 1, 1]])
    answers = np.array([[4, 4, 6], [5, 5, 5], [3, 3, 3], [3, 5, 3], [3, 3, 3], [4, 5, 0]])
    assert task.verify(asked, answers).tolist() == [True, True, True, False, False, False]


def test_examples_are_drawn_as_often_as_by_the_published_loaders(tmp_path: Path) -> None:
    """They take one puzzle of each group and all its examples: one of the first group, two in the mean of the
    second.
    """
    grids = np.tile(np.arange(5)[:, None], (1, 25))
    for side in ("train", "test"):
        write_ungrouped(tmp_path / side, grids, grids, vocab_size=7, forms=1)
    train = tmp_path / "train"
    for name, values in (
        ("puzzle_identifiers", [0, 0, 0]),
        ("puzzle_indices", [0, 1, 4, 5]),
        ("group_indices", [0, 1, 3]),
    ):
        np.save(train / f"all__{name}.npy", np.array(values, np.int32))
    description = json.loads((train / "dataset.json").read_text())
    (train / "dataset.json").write_text(json.dumps({**description, "total_groups": 2, "total_puzzles": 3}))
    task = FolderTask(FolderConfig(path=str(tmp_path)))
    drawn = task.sample(6000, np.random.default_rng(0)).inputs[:, 0]
    shares = np.bincount(drawn, minlength=5) / 6000
    assert shares == pytest.approx([1 / 3, *[1 / 6] * 4], abs=0.03)


def test_a_side_without_examples_is_refused(tmp_path: Path) -> None:
    for side, num in (("train", 0), ("test", 2)):
        grids = np.ones((num, 25), np.int64)
        write_ungrouped(tmp_path / side, grids, grids, vocab_size=7, forms=1)
    with pytest.raises(DataError, match="train has no examples"):
        FolderTask(FolderConfig(path=str(tmp_path)))
