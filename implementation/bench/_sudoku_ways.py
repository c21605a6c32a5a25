"""Ways of solving a set of puzzles, each with its cost: one pass, search, its control, chains.

Invariant: all ways of one table get the same puzzles in the same order; an answer counts as wrong where it
was given and is not the puzzle's solution.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.hrm_core.evaluation.report import wilson_interval
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.solving.solutions import Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.tasks.sudoku.counting import count_solutions
from sage.hrm_core.tasks.sudoku.grid import Box
from sage.hrm_core.tasks.sudoku.task import BLANK

#: Puzzles solved together. Calls and answers do not depend on it.
BATCH = 64


@dataclass(frozen=True)
class Way:
    """solved, wrong, abstained: shares of the puzzles; low..high: the 95% Wilson interval of solved.

    calls, segments, block_calls, cpu_secs: a puzzle, unsolved ones included. A call is one row through its
    segments, a block call one row through one block. at: model calls -> share solved within them.
    calls_to_solve (N,): inf where a puzzle is not solved.
    """

    name: str
    num: int
    solved: float
    low: float
    high: float
    wrong: float
    abstained: float
    calls: float
    segments: float
    block_calls: float
    cpu_secs: float
    at: dict[int, float]
    calls_to_solve: list[float]

    @property
    def cpu_secs_a_call(self) -> float:
        return self.cpu_secs / self.calls

    @property
    def solved_by_search(self) -> float:
        """Share of the puzzles that took more than the plain pass."""
        calls = np.array(self.calls_to_solve)
        return float((np.isfinite(calls) & (calls > 1)).mean())

    def to_plain(self) -> dict[str, Any]:
        """For JSON: no infinity."""
        plain = dataclasses.asdict(self)
        plain["calls_to_solve"] = [each if math.isfinite(each) else None for each in self.calls_to_solve]
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Way:
        """The way whose `to_plain` went through JSON."""
        calls = [math.inf if each is None else each for each in plain["calls_to_solve"]]
        at = {int(budget): share for budget, share in plain["at"].items()}
        return cls(**{**plain, "calls_to_solve": calls, "at": at})


def run_way(
    name: str,
    inference: HRMInference,
    examples: Examples,
    *,
    budgets: tuple[int, ...] = (),
    has_rules: bool = True,
    **settings: Any,
) -> Way:
    """Solve every puzzle with these SolveSettings; without rules the model alone ends and accepts."""
    solver = Solver(inference.model, inference.task if has_rules else None)
    started = time.process_time()
    found = solver.solve(examples.inputs, batch_size=BATCH, **settings)
    cpu_secs = (time.process_time() - started) / len(examples)
    calls = np.array([1 if each.trace is None else each.trace.calls for each in found], dtype=np.float64)
    is_right = (found.answers == examples.labels).all(axis=1) & ~found.is_abstained
    to_solve = np.where(is_right, calls, np.inf)
    segments = float(found.num_segments_spent.mean())
    low, high = wilson_interval(float(is_right.mean()), len(examples))
    return Way(
        name=name,
        num=len(examples),
        solved=float(is_right.mean()),
        low=low,
        high=high,
        wrong=float((~is_right & ~found.is_abstained & _are_given(found)).mean()),
        abstained=float((found.is_abstained | ~_are_given(found)).mean()),
        calls=float(calls.mean()),
        segments=segments,
        block_calls=segments * blocks_a_segment(inference),
        cpu_secs=cpu_secs,
        at={budget: float((to_solve <= budget).mean()) for budget in budgets},
        calls_to_solve=to_solve.tolist(),
    )


def _are_given(found: Solutions) -> np.ndarray:
    """(N,) whether there is an answer that claims to be right: verified, or ended by the model's own head."""
    return found.is_verified | np.isin(found.outcome, ("halted", "solved"))


def blocks_a_segment(inference: HRMInference) -> int:
    config = inference.model.config
    return config.num_calls * config.L_layers + config.H_cycles * config.H_layers


@dataclass(frozen=True)
class Paired:
    """Of two ways on the same puzzles at equal CPU seconds a puzzle: shares solved, and their difference with
    its 95% interval.
    """

    cpu_secs: float
    first: float
    second: float
    difference: float
    low: float
    high: float


def paired(first: Way, second: Way, cpu_secs: float) -> Paired:
    """second minus first. The CPU time of a puzzle is its calls times the way's mean CPU time of a call."""
    is_solved = [np.array(way.calls_to_solve) * way.cpu_secs_a_call <= cpu_secs for way in (first, second)]
    difference = is_solved[1].astype(np.float64) - is_solved[0]
    mean, error = float(difference.mean()), 1.96 * float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return Paired(
        cpu_secs=cpu_secs,
        first=float(is_solved[0].mean()),
        second=float(is_solved[1].mean()),
        difference=mean,
        low=mean - error,
        high=mean + error,
    )


def backdoor_share(inference: HRMInference, examples: Examples, *, num: int) -> tuple[int, float]:
    """Of the first `num` puzzles that one pass does not solve, the share that one true digit more makes
    solvable in one pass. Returns the number of puzzles, and the share.
    """
    found = inference.solve_cells(examples.inputs[: 4 * num], halt="verifier")
    unsolved = np.flatnonzero(~found.is_verified)[:num]
    num_open = 0
    for row in unsolved:
        puzzle, answer = examples.inputs[row], examples.labels[row]
        cells = np.flatnonzero(puzzle == BLANK)
        helped = np.repeat(puzzle[None], len(cells), axis=0)
        helped[np.arange(len(cells)), cells] = answer[cells]
        num_open += bool(inference.solve_cells(helped, halt="verifier").is_verified.any())
    return len(unsolved), num_open / max(len(unsolved), 1)


def rule_solver_secs(examples: Examples, box: Box) -> tuple[float, float]:
    """Median time a puzzle of the package's own solvers by rules, compiled and in plain Python."""
    from sage.hrm_core.tasks.loops import chance_from
    from sage.hrm_core.tasks.sudoku import kernel
    from sage.hrm_core.tasks.sudoku.grid import units_of

    grids, units = examples.inputs.astype(np.int64) - BLANK, units_of(box)
    chance = chance_from(np.random.default_rng(0))
    times: tuple[list[float], list[float]] = ([], [])
    for index, grid in enumerate(grids):
        started = time.perf_counter()
        kernel.solve_many(grid[None], units, np.array([1, 10**7]), chance, np.zeros_like(grid[None]))
        middle = time.perf_counter()
        count_solutions(grid.tolist(), box, at_most=1)
        ended = time.perf_counter()
        if index:  # the first compiles
            times[0].append(middle - started)
            times[1].append(ended - middle)
    return statistics.median(times[0]), statistics.median(times[1])
