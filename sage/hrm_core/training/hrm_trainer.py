"""HRMTrainer: a model and a dataset, trained for a number of epochs. Trainer has all the settings."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from sage.errors import InputError
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.tasks.contract import Examples, Task, TaskSpec
from sage.hrm_core.training.callbacks import Progress
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.puzzle_dataset import PuzzleDataset
from sage.hrm_core.training.trainer import Trainer

#: Trains small models on a CPU in minutes.
DEFAULT_CONFIG = TrainConfig(
    epochs=1,
    cross_entropy="softmax",
    clip_norm=1.0,
    ema_decay=0.99,
    q_weight=0.05,
    eval_examples=200,
    eval_segments=(1, 4, 16),
    optimizer=OptimizerConfig(kind="muon", lr=1e-2, weight_decay=0.1, warmup_steps=50, min_lr_ratio=0.05),
)


class HRMTrainer:
    """Trains `model` on `dataset`: a PuzzleDataset (SudokuDataset), a DataLoader over one, or a task.

    A dataset is evaluated on its task's held-out puzzles, which it does not contain. config: of Trainer;
    its length and batch size are those of `train`.
    """

    def __init__(
        self,
        model: HRM,
        dataset: PuzzleDataset | DataLoader[Any] | Task,
        config: TrainConfig | None = None,
        *,
        folder: Path | str | None = None,
    ) -> None:
        self.model = model
        self.config = config or DEFAULT_CONFIG
        self.task = _task_of(dataset)
        self._folder = folder

    def train(self, epochs: float = 1, batch_size: int = 32) -> list[dict[str, float]]:
        """Train; one mapping per epoch, for HRMVisualizer.plot_training_dynamics.

        Keys: epoch (from 1), total_loss, accuracy and exact_accuracy of the training rows, avg_steps
        (segments of a finished puzzle), and in the last mapping eval_accuracy, the exact accuracy on held-out
        puzzles. An epoch has as many puzzles as the dataset, or 1000 where they are generated without end.
        """
        config = replace(self.config, steps=None, epochs=epochs, batch_size=batch_size)
        history = _History()
        trainer = Trainer(self.model, self.task, config, folder=self._folder, callbacks=[history])
        history.epochs = epochs
        result = trainer.train()
        metrics = history.finish()
        if metrics and result.report is not None:
            metrics[-1]["eval_accuracy"] = result.report.exact
        return metrics


class _DatasetTask:
    """The task of a PuzzleDataset, with training rows drawn from the dataset alone."""

    def __init__(self, dataset: PuzzleDataset) -> None:
        self._examples = dataset.examples
        self._task = dataset.task
        self.examples_per_epoch = float(len(dataset))

    @property
    def spec(self) -> TaskSpec:
        return self._task.spec

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._examples.take(rng.integers(0, len(self._examples), size=num))

    def held_out(self, num: int) -> Examples:
        return self._task.held_out(num)

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return self._task.verify(inputs, answers)


class _History:
    """A callback: means of the training figures, one mapping per epoch."""

    def __init__(self) -> None:
        self.epochs = 1.0
        self._metrics: list[dict[str, float]] = []
        self._steps: list[Progress] = []

    def on_step(self, progress: Progress) -> None:
        self._steps.append(progress)
        if progress.facts.step >= (len(self._metrics) + 1) * progress.num_steps / self.epochs:
            self._close_epoch()

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        """The result has the last evaluation."""

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        """Checkpoints are not part of the history."""

    def finish(self) -> list[dict[str, float]]:
        if self._steps:
            self._close_epoch()
        return self._metrics

    def _close_epoch(self) -> None:
        self._metrics.append(
            {
                "epoch": float(len(self._metrics) + 1),
                "total_loss": self._mean("loss"),
                "accuracy": self._mean("accuracy"),
                "exact_accuracy": self._mean("exact_accuracy"),
                "avg_steps": self._mean("steps"),
            }
        )
        self._steps = []

    def _mean(self, name: str) -> float:
        values = [each.facts.figures[name] for each in self._steps]
        finite = [value for value in values if math.isfinite(value)]
        return sum(finite) / len(finite) if finite else math.nan


def _task_of(dataset: PuzzleDataset | DataLoader[Any] | Task) -> Task:
    if isinstance(dataset, DataLoader):
        dataset = dataset.dataset  # type: ignore[assignment]
    if isinstance(dataset, PuzzleDataset):
        return _DatasetTask(dataset)
    if not all(hasattr(dataset, name) for name in ("spec", "sample", "held_out", "verify")):
        raise InputError(
            f"dataset is {type(dataset).__name__}: give a PuzzleDataset, a DataLoader over one, or a task"
        )
    return dataset  # type: ignore[return-value]
