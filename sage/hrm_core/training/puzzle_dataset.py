"""Puzzles as a torch Dataset: a fixed number of a task's training examples, for DataLoader and HRMTrainer.

Shapes: L cells, B rows of a batch.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sage.errors import InputError
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task

Difficulty = Literal["easy", "medium", "hard", "extreme"]
#: Options of the sudoku task for each difficulty: givens, and the share that single candidates do not solve.
_SUDOKU: dict[str, dict[str, Any]] = {
    "easy": {"givens": (36, 50)},
    "medium": {"givens": (32, 35)},
    "hard": {"givens": (28, 31)},
    "extreme": {"givens": (24, 27), "beyond_singles": 1.0},
}
_TASKS = {"sudoku": "sudoku", "maze": "maze", "pattern": "patterns", "arc": "arc"}


class PuzzleDataset(Dataset[dict[str, Tensor]]):
    """The first `num_samples` training examples of `task` that `seed` draws.

    An item has "inputs" (L, 1) float32 and "targets" (L,) int64, -100 where a label does not count: the
    task's symbols. `examples` has the same as integer arrays.
    """

    def __init__(self, task: Task, num_samples: int = 1000, seed: int = 0) -> None:
        if num_samples < 1:
            raise InputError(f"num_samples is {num_samples}: give 1 or more")
        self.task = task
        self.examples: Examples = task.sample(num_samples, np.random.default_rng(seed))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        inputs = torch.as_tensor(self.examples.inputs[index], dtype=torch.float32)
        targets = torch.as_tensor(self.examples.labels[index], dtype=torch.int64)
        return {"inputs": inputs.unsqueeze(-1), "targets": targets}


class SudokuDataset(PuzzleDataset):
    """Generated 9x9 sudokus of one difficulty, each with one solution. Symbols: 1 is blank, 2 to 10 are
    digits.
    """

    def __init__(self, num_samples: int = 1000, difficulty: Difficulty = "extreme", seed: int = 0) -> None:
        if difficulty not in _SUDOKU:
            raise InputError(f"difficulty is {difficulty!r}: give one of {', '.join(get_args(Difficulty))}")
        super().__init__(make_task("sudoku", **_SUDOKU[difficulty]), num_samples, seed)


class EnhancedDatasetLoader:
    """DataLoaders of reasoning tasks by name."""

    @staticmethod
    def get_dataloader(
        dataset_type: str,
        data_path: str | None = None,
        batch_size: int = 32,
        num_samples: int | None = None,
        shuffle: bool = True,
        **options: Any,
    ) -> DataLoader[dict[str, Tensor]]:
        """A DataLoader over a PuzzleDataset; batches have "inputs" (B, L, 1) and "targets" (B, L).

        dataset_type: sudoku, maze, pattern or arc.  data_path: a folder of ARC files, for arc.
        num_samples: default 1000.  options: difficulty (sudoku, maze), maze_size, seed, and the task's own.
        """
        if dataset_type not in _TASKS:
            raise InputError(f"dataset_type is {dataset_type!r}: give one of {', '.join(_TASKS)}")
        seed = int(options.pop("seed", 0))
        settings = {name: value for name, value in options.items() if value is not None}
        num = 1000 if num_samples is None else num_samples
        dataset = _dataset(dataset_type, data_path, num, seed, settings)
        return DataLoader(
            dataset, batch_size=batch_size, shuffle=shuffle, pin_memory=torch.cuda.is_available()
        )


def _dataset(
    kind: str, data_path: str | None, num_samples: int, seed: int, options: dict[str, Any]
) -> PuzzleDataset:
    if kind == "sudoku" and options.keys() <= {"difficulty"}:
        return SudokuDataset(num_samples, **options, seed=seed)
    if kind == "maze":
        options = {"size": options.pop("maze_size", 15), "difficulty": "medium", **options}
    if kind == "pattern" and options.pop("pattern_type", "sequence") != "sequence":
        raise InputError("pattern_type: give 'sequence'")
    if kind == "arc":
        if data_path is None:
            raise InputError("data_path is None: give a folder of ARC files")
        options = {"train": data_path, "evaluate": data_path, **options}
    return PuzzleDataset(make_task(_TASKS[kind], **options), num_samples, seed)
