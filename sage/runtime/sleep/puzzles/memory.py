"""Puzzles of a life, for practice, replay and examination: bounded, balanced over levels.

One puzzle in ten, with all its symmetric forms, is examined and never replayed (tasks.orbits). The others are
kept by a weighted reservoir for each level (Efraimidis and Spirakis 2006): the rows with the largest
log(u) / w, w = surprise x trust + 0.05 (COGNITION.md, Memory). Invariant: constant bytes.
Shapes: L cells of a puzzle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sage.errors import InputError
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.tasks.orbits import are_examined, orbit_keys
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.table import Provenance, PuzzleRow, PuzzleTable
from sage.runtime.solving.learner import PuzzleExperience, SolutionSource

BASE_WEIGHT = 0.05
#: How fast a level's share of wrong answers follows the newest ones.
WRONG_RATE = 1 / 32
#: Tick of experiences of earlier runs.
OLD_TICK = -1
TABLES = ("replayed", "recent", "examined", "unsolved")


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMemory:
    """The tables of one level. recent: the newest with a solution.  unsolved: those without one."""

    replayed: PuzzleTable
    recent: PuzzleTable
    examined: PuzzleTable
    unsolved: PuzzleTable

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in TABLES)

    @property
    def capacities(self) -> tuple[int, ...]:
        return tuple(getattr(self, name).capacity for name in TABLES)


class PuzzleMemory:
    """tasks: one for each level.  num_refused: solutions that broke the rules of the task.  wrong: share of
    the newest answers of each level that were not right, 1 before the first.
    """

    def __init__(self, tasks: Sequence[Task], config: SolverTrainingConfig, *, seed: int = 0) -> None:
        self._tasks = tuple(tasks)
        self._config = config
        self._seed = seed
        self._rng = self._chances(0)
        self.num_noted = 0
        self.num_refused = 0
        self.wrong = np.ones(len(self._tasks))
        self.levels = tuple(
            LevelMemory(
                replayed=PuzzleTable(config.num_replayed, task.spec.seq_len),
                recent=PuzzleTable(config.num_recent, task.spec.seq_len),
                examined=PuzzleTable(config.num_examined, task.spec.seq_len),
                unsolved=PuzzleTable(config.num_unsolved, task.spec.seq_len),
            )
            for task in tasks
        )

    @property
    def nbytes(self) -> int:
        return sum(level.nbytes for level in self.levels)

    @property
    def newest_examined_tick(self) -> int:
        """Of all levels, OLD_TICK without one of this run."""
        ticks = (level.examined.columns["tick"][: level.examined.count] for level in self.levels)
        return max((int(each.max()) for each in ticks if each.size), default=OLD_TICK)

    def note(self, experience: PuzzleExperience) -> None:
        """Keep an experience, or not. InputError for a level or a number of cells that does not exist."""
        if not 0 <= experience.level < len(self.levels):
            raise InputError(f"level is {experience.level}: give one of {len(self.levels)} levels")
        task, level = self._tasks[experience.level], self.levels[experience.level]
        if len(experience.cells) != task.spec.seq_len:
            raise InputError(
                f"puzzle {experience.number} has {len(experience.cells)} cells, its level"
                f" {task.spec.seq_len}: give puzzles of the level's task"
            )
        self.num_noted += 1
        self.wrong[experience.level] += WRONG_RATE * (
            float(not experience.is_right) - self.wrong[experience.level]
        )
        row = self._row(experience, task)
        if are_examined(np.array([row.orbit], np.uint64))[0]:
            level.examined.append(row)
        elif row.solution is None:
            level.unsolved.append(row)
        else:
            self.keep(experience.level, row)

    def keep(self, level: int, row: PuzzleRow) -> None:
        """Keep a row that has a solution, for practice and, as its weight and chance decide, for replay."""
        tables = self.levels[level]
        tables.recent.append(row)
        if self._config.replay != "none":
            self._sample(tables.replayed, row)

    def settle(self, level: int, index: int, solution: np.ndarray, calls: int) -> None:
        """A search found the solution of row `index` of the level's unsolved ones: it is kept for replay."""
        table = self.levels[level].unsolved
        columns = table.columns
        row = PuzzleRow(
            number=int(columns["number"][index]),
            tick=int(columns["tick"][index]),
            cells=table.cells[index].astype(np.int32),
            solution=solution,
            orbit=int(columns["orbit"][index]),
            provenance=Provenance.SEARCH,
            trust=1.0,
            surprise=float(columns["surprise"][index]),
            calls=calls,
            time_ns=int(columns["time_ns"][index]),
            episode=int(columns["episode"][index]),
        )
        table.remove(index)
        self.keep(level, row)

    def mark_old(self) -> None:
        """Everything kept so far is of earlier runs, whose ticks are not those of this one."""
        for level in self.levels:
            for name in TABLES:
                getattr(level, name).columns["tick"][:] = OLD_TICK

    def state(self) -> dict[str, np.ndarray]:
        """Arrays by name; all but the generator of chances, which follows from num_noted."""
        found = {
            "counts": np.array([self.num_noted, self.num_refused], np.int64),
            "wrong": self.wrong.copy(),
        }
        for index, level in enumerate(self.levels):
            for name in TABLES:
                table = getattr(level, name)
                found.update({f"{index}.{name}.{key}": array for key, array in table.state().items()})
        return found

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore a result of `state` of a memory of the same levels; its tables may have other sizes."""
        self.num_noted, self.num_refused = (int(each) for each in state["counts"])
        self._rng = self._chances(self.num_noted)
        self.wrong[:] = state.get("wrong", 1.0)  # snapshots of earlier versions lack it
        for index, level in enumerate(self.levels):
            for name in TABLES:
                start = f"{index}.{name}."
                part = {key.removeprefix(start): each for key, each in state.items() if key.startswith(start)}
                getattr(level, name).load_state(part)

    def _chances(self, num_noted: int) -> np.random.Generator:
        """Different in each run. If each run drew the same ones, the rows with the highest of them would fill
        the reservoir, and no row of a later run would enter it.
        """
        return np.random.default_rng((self._seed, 7, num_noted) if num_noted else (self._seed, 7))

    def _row(self, experience: PuzzleExperience, task: Task) -> PuzzleRow:
        solution, source = experience.solution, experience.source
        if solution is None and experience.is_right:
            solution, source = experience.answer, SolutionSource.VERIFIED
        if solution is not None and not self._may_keep(task, experience.cells, solution):
            self.num_refused += 1
            solution = None
        return PuzzleRow(
            number=experience.number,
            tick=experience.tick,
            cells=experience.cells,
            solution=solution,
            orbit=int(orbit_keys(task, experience.cells[None])[0]),
            provenance=Provenance.NONE if solution is None else Provenance(int(source)),
            trust=experience.trust if math.isfinite(experience.trust) else 0.0,
            surprise=surprise_of(replace(experience, solution=solution)),
            calls=experience.num_calls,
            time_ns=experience.time_ns,
            episode=experience.episode,
        )

    def _may_keep(self, task: Task, cells: np.ndarray, solution: np.ndarray) -> bool:
        return not self._config.checks_labels or bool(task.verify(cells[None], solution[None])[0])

    def _sample(self, table: PuzzleTable, row: PuzzleRow) -> None:
        """One step of the reservoir."""
        priority = self._priority(row)
        if table.count < table.capacity:
            table.count += 1
            table.write(table.count - 1, row, priority)
            return
        least = int(table.columns["priority"].argmin())
        if priority > table.columns["priority"][least]:
            table.write(least, row, priority)

    def _priority(self, row: PuzzleRow) -> float:
        chance = math.log(1.0 - self._rng.random())
        if self._config.replay == "surprising":
            return row.surprise + 1e-9 * chance
        if self._config.replay == "uniform":
            return chance
        return chance / (row.surprise * row.trust + BASE_WEIGHT)


def surprise_of(experience: PuzzleExperience) -> float:
    """0..1: the larger of the error of the confidence and, with a solution, the share of wrong cells among
    those that the puzzle leaves open. An answer that abstains has all of them wrong.
    """
    surprise = abs(float(experience.is_right) - experience.confidence)
    solution = experience.solution
    if solution is None or not math.isfinite(surprise):
        return surprise if math.isfinite(surprise) else 1.0
    is_open = solution != experience.cells
    if len(experience.answer) != len(solution):
        return 1.0
    wrong = (experience.answer != solution)[is_open]
    return max(surprise, float(wrong.mean()) if wrong.size else 0.0)
