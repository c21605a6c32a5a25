"""The steps of the tour, one after another.

Invariant: a step tells what it measured here and now; one that cannot run says why, and the tour goes on and
ends with 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sage.app.demo import loop_steps, model_steps
from sage.app.terminal.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """told: what it did, in a sentence or a few lines.  outcome: done, absent (something is not shipped), or
    failed.
    """

    name: str
    outcome: str
    told: str
    wall_secs: float
    cpu_secs: float


#: name -> what it does; True asks for the short form.
STEPS: dict[str, Callable[[bool], str]] = {
    "solve a sudoku": model_steps.solve_sudoku,
    "solve a maze": model_steps.solve_maze,
    "train on 4x4 sudoku": model_steps.train_sudoku,
    "write text": model_steps.write_text,
    "hand a frame to another process": loop_steps.hand_over,
    "run the loop, and sleep a night": loop_steps.run_and_sleep,
}


def tour(*, is_quick: bool) -> Iterator[StepReport]:
    """Each step's report as it ends. A step raises LookupError for what is not shipped."""
    for name, step in STEPS.items():
        wall, cpu = time.perf_counter(), _cpu_secs()
        try:
            outcome, told = "done", step(is_quick)
        except LookupError as error:  # not shipped
            outcome, told = "absent", str(error.args[0])
        except (UserError, OSError, RuntimeError, ValueError) as error:
            outcome, told = "failed", " ".join(str(error).split())
        yield StepReport(
            name=name,
            outcome=outcome,
            told=told,
            wall_secs=time.perf_counter() - wall,
            cpu_secs=_cpu_secs() - cpu,
        )


def _cpu_secs() -> float:
    """Of this process and of its children that have ended."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
