"""A stream of 4x4 sudokus, and trainers that start from fresh weights or from the shipped ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from sage.hrm_core.model_family import family_of
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

Feed = Callable[..., list[PuzzleExperience]]
MakeTrainer = Callable[..., PuzzleTrainer]
NAMES = ("sudoku 4x4", "sudoku 6x6")


@pytest.fixture(scope="session")
def tasks() -> list[Task]:
    return [make_task("sudoku", size=4), make_task("sudoku", size=6)]


@pytest.fixture(scope="session")
def feed(tasks: list[Task]) -> Feed:
    """`feed(num, level, first, **changes)`: experiences of a solver that is wrong and unsure."""

    drawn = [task.sample(600, np.random.default_rng(0)) for task in tasks]

    def experiences(num: int, level: int = 0, first: int = 0, **changes: Any) -> list[PuzzleExperience]:
        examples = drawn[level].take(slice(first, first + num))
        return [
            PuzzleExperience(
                **{
                    "number": first + row,
                    "level": level,
                    "cells": examples.inputs[row],
                    "answer": examples.inputs[row],
                    "solution": examples.labels[row],
                    "source": SolutionSource.TEACHER,
                    "trust": 1.0,
                    "is_right": False,
                    "confidence": 0.0,
                    "num_segments": 4,
                    "num_calls": 4,
                    "tick": first + row,
                    "time_ns": 0,
                    **changes,
                }
            )
            for row in range(num)
        ]

    return experiences


@pytest.fixture(scope="session")
def shipped_weights() -> dict[str, Tensor]:
    """They solve 4x4 sudokus."""
    model: Any = load_published("sudoku4").model
    return dict(model.state_dict())


@pytest.fixture
def make_trainer(tasks: list[Task], feed: Feed) -> MakeTrainer:
    """`make_trainer(num, weights, level_count, **settings)`: a trainer that has noted `num` 4x4 puzzles."""

    def trainer(
        num: int = 400, weights: dict[str, Tensor] | None = None, num_levels: int = 1, **settings: Any
    ) -> PuzzleTrainer:
        chosen = tasks[:num_levels]
        family = family_of("sudoku", [task.spec for task in chosen])
        config = SolverTrainingConfig(**{"min_examined": 4, "night_steps": 20, **settings})
        made = PuzzleTrainer("puzzles", NAMES[:num_levels], chosen, family.configs, config)
        made.load(family.weights() if weights is None else weights)
        for experience in feed(num):
            made.memory.note(experience)
        return made

    return trainer
