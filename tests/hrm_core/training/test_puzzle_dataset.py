"""Datasets of puzzles: sizes, types, and names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.training.puzzle_dataset import Difficulty, EnhancedDatasetLoader, SudokuDataset


@pytest.mark.parametrize(("difficulty", "low", "high"), [("easy", 36, 50), ("medium", 32, 35)])
def test_a_sudoku_dataset_has_puzzles_of_its_difficulty(difficulty: Difficulty, low: int, high: int) -> None:
    dataset = SudokuDataset(8, difficulty)
    assert len(dataset) == 8
    item = dataset[3]
    assert (item["inputs"].shape, item["inputs"].dtype) == ((81, 1), torch.float32)
    assert (item["targets"].shape, item["targets"].dtype) == ((81,), torch.int64)
    givens = (dataset.examples.inputs > 1).sum(axis=1)
    assert givens.min() >= low
    assert givens.max() <= high
    assert dataset.task.verify(dataset.examples.inputs, dataset.examples.labels).all()


def test_a_seed_gives_the_same_puzzles() -> None:
    one, same, other = (SudokuDataset(4, "easy", seed=seed).examples.inputs for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "options", "cells"),
    [("sudoku", {"difficulty": "easy"}, 81), ("maze", {"maze_size": 10}, 100), ("maze", {}, 225)],
)
def test_a_loader_is_made_by_name(kind: str, options: dict[str, object], cells: int) -> None:
    loader = EnhancedDatasetLoader.get_dataloader(kind, batch_size=4, num_samples=6, **options)
    batches = list(loader)
    assert [len(batch["inputs"]) for batch in batches] == [4, 2]
    assert batches[0]["inputs"].shape == (4, cells, 1)
    assert batches[0]["targets"].shape == (4, cells)


def test_patterns_are_a_kind_of_dataset() -> None:
    loader = EnhancedDatasetLoader.get_dataloader("pattern", num_samples=3, pattern_type="sequence")
    assert next(iter(loader))["inputs"].shape[0] == 3


def test_wrong_names_are_input_errors() -> None:
    with pytest.raises(InputError, match="dataset_type is 'chess': give one of sudoku, maze, pattern, arc"):
        EnhancedDatasetLoader.get_dataloader("chess")
    with pytest.raises(InputError, match="data_path is None"):
        EnhancedDatasetLoader.get_dataloader("arc")
    with pytest.raises(InputError, match="difficulty is 'mad': give one of easy, medium, hard, extreme"):
        SudokuDataset(4, "mad")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="num_samples is 0"):
        SudokuDataset(0, "easy")
    with pytest.raises(InputError, match="num_samples is 0"):
        EnhancedDatasetLoader.get_dataloader("pattern", num_samples=0)
