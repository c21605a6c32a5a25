"""The search of a night: longer than awake, on puzzles that have no solution yet (docs of `from_search`).

Invariant: a solution is kept only where the rules of the task accept it; no state that is learned from has
the orbit key of an examined puzzle, or of one that the night asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.hrm_core.from_search.episode_task import EpisodeTask
from sage.hrm_core.from_search.episodes import DEAD, PUZZLE, Episodes
from sage.hrm_core.from_search.labelling import episodes_of
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.search_record import SearchRecord
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.dreams import held_out_by_task, may_be_learned
from sage.runtime.sleep.puzzles.pool import Pool
from sage.runtime.sleep.puzzles.table import Provenance

#: Engine steps of one slice of the night.
STEPS_A_SLICE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What the search of one level found. numbers (M,), solutions (M, L), calls (M,): of solved puzzles, as
    their streams number them.  num_searched: puzzles.  episodes: states to learn from.
    """

    level: int
    numbers: np.ndarray
    inputs: np.ndarray
    solutions: np.ndarray
    calls: np.ndarray
    num_searched: int
    episodes: Episodes

    def pool(self) -> Pool:
        return Pool(
            inputs=self.inputs,
            labels=self.solutions,
            weights=np.ones(len(self.inputs)),
            provenance=np.full(len(self.inputs), int(Provenance.SEARCH), np.int8),
        )

    def mixed_with(self, base: Any) -> Task:
        """Half of the rows from the episodes; `base` alone where there is nothing to learn from them."""
        if not (self.episodes.calls > 1).any():
            return base  # type: ignore[no-any-return]
        return EpisodeTask(base, self.episodes)


def search_unsolved(
    model: HRM,
    task: Task,
    level: int,
    inputs: np.ndarray,
    numbers: np.ndarray,
    config: SolverTrainingConfig,
    *,
    apart: np.ndarray,
) -> Iterator[Searched | None]:
    """Search puzzles (N, L); yields None after each slice, then what was found. apart: as in `dreams`.

    InputError for a task that cannot be searched.
    """
    if not hasattr(task, "may_extend"):
        raise InputError(
            f"night_calls is {config.night_calls}: task {task.spec.name} cannot be searched: give 0"
        )
    searchable: Any = task
    model.eval()
    engine = Engine(model, searchable)
    settings = SolveSettings(search=config.night_calls)
    records = [SearchRecord() for _ in inputs]
    jobs = [engine.submit(row, settings, record=record) for row, record in zip(inputs, records)]
    while not engine.is_idle:
        for _ in range(STEPS_A_SLICE):
            if not engine.is_idle:
                engine.step()
        yield None
    parts = [Episodes.empty(inputs.shape[1])]
    solved, solutions, calls = [], [], []
    for row, (job, record) in enumerate(zip(jobs, records)):
        found = job.solution()
        num_calls = 1 if found.trace is None else found.trace.calls
        solution = found.cells if found.is_verified else None
        parts.append(episodes_of(searchable, inputs[row], solution, record, number=row, calls=num_calls))
        if solution is not None:
            solved.append(row)
            solutions.append(solution)
            calls.append(num_calls)
    episodes = Episodes.joined(parts)
    episodes = episodes.take(np.flatnonzero(may_be_learned(task, episodes.inputs, apart)))
    alive = np.flatnonzero(episodes.kind != DEAD)
    is_held_out = np.zeros(len(episodes), bool)
    is_held_out[alive] = held_out_by_task(task, episodes.inputs[alive], episodes.labels[alive])
    episodes = episodes.take(np.flatnonzero(~is_held_out))
    yield Searched(
        level=level,
        numbers=numbers[solved],
        inputs=inputs[solved],
        solutions=np.array(solutions, np.int32).reshape(len(solved), inputs.shape[1]),
        calls=np.array(calls, np.int32),
        num_searched=len(inputs),
        episodes=episodes.take(np.flatnonzero((episodes.kind != PUZZLE) | (episodes.calls > 1))),
    )
