"""The steps of `sage demo`, in order.

Invariant: every figure is measured in this run; a step that fails has its reason as the result, the next
steps run, and the exit code is 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sage.app.demo import loop_steps, model_steps
from sage.errors import SageError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """result: a sentence or a few lines.  outcome: done, absent (something is not shipped), or failed."""

    name: str
    outcome: str
    result: str
    wall_secs: float
    cpu_secs: float


#: name -> step; its argument is True for the short form.
STEPS: dict[str, Callable[[bool], str]] = {
    "solve a sudoku": model_steps.solve_sudoku,
    "search for the answer of a hard sudoku": model_steps.search_sudoku,
    "solve a maze": model_steps.solve_maze,
    "train on 4x4 sudoku": model_steps.train_sudoku,
    "write text": model_steps.write_text,
    "share frames between processes": loop_steps.hand_over,
    "run the loop with a night of sleep": loop_steps.run_and_sleep,
}


def tour(*, is_quick: bool) -> Iterator[StepReport]:
    """The report of each step as it ends. A step raises LookupError for weights that are not shipped."""
    for name, step in STEPS.items():
        wall, cpu = time.perf_counter(), _cpu_secs()
        try:
            outcome, result = "done", step(is_quick)
        except LookupError as error:  # not shipped
            outcome, result = "absent", str(error.args[0])
        except (SageError, OSError, RuntimeError) as error:
            outcome, result = "failed", " ".join(str(error).split())
        yield StepReport(
            name=name,
            outcome=outcome,
            result=result,
            wall_secs=time.perf_counter() - wall,
            cpu_secs=_cpu_secs() - cpu,
        )


def _cpu_secs() -> float:
    """CPU seconds of this process and of its children that have ended."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
