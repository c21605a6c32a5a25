"""Planners of a table: a trained model in several ways, breadth-first search, greedy, a linear readout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _table_worlds import Planner

from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import IGNORED
from sage.hrm_core.tasks.table.breadth_first import breadth_first_plan
from sage.hrm_core.tasks.table.kernel import HOME
from sage.hrm_core.tasks.table.task import TableTask

#: Further tries of the model with the checker, with noise, after the plain one.
TRIES = 8
#: Model calls of a search over plans, the plain try included.
SEARCH_CALLS = 64
RIDGE = 1.0


def model_planners(folder: Path, task: TableTask) -> dict[str, Planner]:
    """Of one trained model. Only the last two ask the task's rules."""
    model = load_published(folder).model
    segments = model.config.halt_max_segments

    def plan(task: TableTask | None, **settings: Any) -> Planner:
        solver = Solver(model, task)
        return lambda cells: solver.solve(cells, seed=0, **settings).answers

    return {
        "HRM": plan(None, max_segments=segments),
        "HRM, one segment": plan(None, max_segments=1),
        "HRM with the checker": plan(task, max_segments=segments, halt="verifier", tries=TRIES),
        "HRM, search with the checker": plan(
            task, max_segments=segments, halt="verifier", search=SEARCH_CALLS, search_segments=segments
        ),
    }


def breadth_first(task: TableTask) -> Planner:
    """The shortest plan of each scene."""

    def plan(cells: np.ndarray) -> np.ndarray:
        scenes = task.scenes_of(cells)
        numbers = np.zeros((2, *scenes.goals.shape), np.int64)
        for index in range(len(scenes)):
            moves = breadth_first_plan(scenes.goals[index], scenes.blockers[index], task.config.places)
            for number, (row, to) in enumerate(moves or (), start=1):
                numbers[int(to == HOME), index, row] = number
        return task.with_plan(cells, numbers[0], numbers[1])

    return plan


def greedy(task: TableTask) -> Planner:
    """The task's baseline."""
    return lambda cells: task.baseline(cells).answers


def linear(task: TableTask, *, num: int, seed: int) -> Planner:
    """Least squares from the scene's cells, one-hot, to the labels, one-hot: a readout without recurrence.
    num: training examples.
    """
    examples = task.sample(num, np.random.default_rng((seed, 1)))
    symbols, cells = task.spec.vocab_size, task.spec.seq_len
    features = _one_hot(examples.inputs, symbols)
    targets = _one_hot(np.where(examples.labels == IGNORED, 0, examples.labels), symbols)
    gram = features.T.dot(features) + RIDGE * np.eye(features.shape[1], dtype=np.float32)
    weights = np.linalg.solve(gram, features.T.dot(targets))

    def plan(scenes: np.ndarray) -> np.ndarray:
        scores = _one_hot(scenes, symbols).dot(weights).reshape(len(scenes), cells, symbols)
        scores[:, :, 0] = -np.inf
        chosen = scores.argmax(axis=2)
        # The cells that are not asked for are those of the scene.
        aside, home = task.rounds_of(scenes, chosen)
        return task.with_plan(scenes, aside, home)

    return plan


def _one_hot(cells: np.ndarray, symbols: int) -> np.ndarray:
    """(N, L V) float32."""
    return (cells[:, :, None] == np.arange(symbols)).reshape(len(cells), -1).astype(np.float32)
