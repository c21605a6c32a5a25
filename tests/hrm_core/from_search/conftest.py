"""A task whose labels must not be read, and a model that guesses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlabelled:
    """Examples that fail when their labels are read."""

    inputs: np.ndarray
    puzzle_ids: np.ndarray
    labels: np.ndarray = field(init=False, repr=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getattribute__(self, name: str) -> object:
        if name == "labels":
            raise AssertionError("labels were read")
        return object.__getattribute__(self, name)


class BlindTask(SudokuTask):
    """Sudoku 4x4 whose solutions nobody may read: neither of training nor of held-out puzzles."""

    def sample(self, num: int, rng: np.random.Generator) -> Examples:
        return self._blind(super().sample(num, rng))

    def held_out(self, num: int) -> Examples:
        return self._blind(super().held_out(num))

    def _blind(self, rows: Examples) -> Examples:
        return Unlabelled(inputs=rows.inputs, puzzle_ids=rows.puzzle_ids)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def sudoku4() -> SudokuTask:
    return SudokuTask(SudokuConfig(size=4))


@pytest.fixture(scope="session")
def blind() -> BlindTask:
    return BlindTask(SudokuConfig(size=4))


@pytest.fixture(scope="session")
def guesser() -> HRM:
    """Untrained: it solves nothing in one pass, and its search has to guess."""
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    config = ModelConfig.preset("tiny", front=front, hidden_size=16, mlp_multiple=16)
    return HRM(config, generator=torch.Generator().manual_seed(1)).eval()
