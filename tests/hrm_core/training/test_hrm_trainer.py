"""HRMTrainer: a model, a dataset, a number of epochs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.training.hrm_trainer import HRMTrainer
from sage.hrm_core.training.mirror_task import MirrorTask
from sage.hrm_core.training.puzzle_dataset import EnhancedDatasetLoader, PuzzleDataset

Build = Callable[..., HRM]


def test_a_dataset_is_learned_over_epochs(mirror: MirrorTask, small_model: Build) -> None:
    torch.manual_seed(0)
    trainer = HRMTrainer(small_model(mirror, hidden_size=32), PuzzleDataset(mirror, num_samples=320))
    metrics = trainer.train(epochs=4, batch_size=16)
    assert [each["epoch"] for each in metrics] == [1, 2, 3, 4]
    assert metrics[-1]["total_loss"] < metrics[0]["total_loss"]
    assert math.isfinite(metrics[-1]["eval_accuracy"])


def test_only_puzzles_of_the_dataset_are_trained_on(mirror: MirrorTask, small_model: Build) -> None:
    dataset = PuzzleDataset(mirror, num_samples=2)
    known = {row.tobytes() for row in dataset.examples.inputs}
    trainer = HRMTrainer(small_model(mirror), dataset)
    drawn = trainer.task.sample(50, np.random.default_rng(0)).inputs
    assert {row.tobytes() for row in drawn} == known


def test_a_loader_trains_its_dataset(mirror: MirrorTask, small_model: Build) -> None:
    loader: torch.utils.data.DataLoader[object] = torch.utils.data.DataLoader(PuzzleDataset(mirror, 16))  # type: ignore[arg-type]
    assert len(HRMTrainer(small_model(mirror), loader).train(epochs=2, batch_size=8)) == 2


def test_what_is_no_dataset_or_does_not_fit_is_an_input_error(mirror: MirrorTask, small_model: Build) -> None:
    with pytest.raises(InputError, match="dataset is list: give a PuzzleDataset"):
        HRMTrainer(small_model(mirror), [1, 2])  # type: ignore[arg-type]
    loader = EnhancedDatasetLoader.get_dataloader("sudoku", num_samples=2, difficulty="easy")
    with pytest.raises(InputError, match="of task sudoku"):
        HRMTrainer(small_model(mirror), loader).train(epochs=1, batch_size=2)
    with pytest.raises(InputError, match="takes continuous inputs"):
        HRMTrainer(HRM(input_dim=1, h_dim=64, l_dim=32, output_dim=10), loader).train(epochs=1, batch_size=2)
