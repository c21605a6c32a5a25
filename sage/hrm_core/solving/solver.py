"""Solve many puzzles in one batch; results are in the order of the puzzles.

Invariant: results equal those of solving row by row, to the rounding of a matrix product.
Shapes: N puzzles, L cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.solving.engine import Engine, SegmentModel
from sage.hrm_core.solving.fit import check_fit
from sage.hrm_core.solving.rules import Verifier
from sage.hrm_core.solving.settings import USUAL, SolveSettings
from sage.hrm_core.solving.solutions import Solution, Solutions
from sage.hrm_core.tasks.contract import TaskSpec


class Solver:
    """`Solver(model, task).solve(inputs)`. Without a task nothing is verified: the Q head halts and selects.

    InputError if the task has other symbols, or another number of cells, than the model.
    """

    def __init__(self, model: SegmentModel, task: Verifier | None = None) -> None:
        spec = getattr(task, "spec", None)  # a Verifier alone has none
        if isinstance(spec, TaskSpec):
            check_fit(model, spec)
        self.model = model
        self.task = task

    def solve(
        self,
        inputs: np.ndarray,
        settings: SolveSettings = USUAL,
        *,
        puzzle_ids: np.ndarray | None = None,
        batch_size: int = 64,
        **changes: Any,
    ) -> Solutions:
        """inputs (N, L) integers, puzzle_ids (N,), -1 or None where unknown; `changes` are fields of
        SolveSettings.
        """
        engine, settings = Engine(self.model, self.task, batch_size=batch_size), settings.changed(**changes)
        inputs = np.asarray(inputs)
        if inputs.ndim != 2:
            raise InputError(f"inputs have shape {inputs.shape}: give (puzzles, {engine.num_cells})")
        ids = np.full(len(inputs), -1) if puzzle_ids is None else np.asarray(puzzle_ids)
        if ids.shape != (len(inputs),):
            raise InputError(f"puzzle_ids have shape {ids.shape}: give ({len(inputs)},), one for each puzzle")
        numbers = {
            engine.submit(cells, settings, puzzle_id=int(each)): number
            for number, (cells, each) in enumerate(zip(inputs, ids))
        }
        ended: dict[int, Solution] = {}
        while not engine.is_idle:  # a job is dropped with the outputs that it holds as soon as it settles
            ended |= {numbers.pop(job): job.solution() for job in engine.step()}
        return Solutions.stack([ended[number] for number in range(len(inputs))], engine.num_cells)
