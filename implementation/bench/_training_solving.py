"""What a trained model does with a verifier, with more tries, and with puzzles that are nearly solved.

Invariant: puzzles are the held-out ones that the run's own evaluation began with, or held-out ones of other
givens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task

MAX_SEGMENTS, NUM_TRIES, MOST_BLANKS = 64, 8, 5


@dataclass(frozen=True)
class Solving:
    """Shares of `num` puzzles whose answer the rules accept.

    nearly_solved: as `sage solve` does, one try of at most 64 segments that the rules end.
    nearly_solved_one_pass: the Q head ends it, 16 segments at most; both None for a maze.
    verified: at most 64 segments, ended by the verifier.  with_tries: and at most 8 tries of those.
    mean_segments: spent on a puzzle with tries.
    """

    num: int
    verified: float
    with_tries: float
    mean_segments: float
    nearly_solved: float | None
    nearly_solved_one_pass: float | None


def measure(model: Path, num: int) -> Solving:
    inference = HRMInference(model)
    assert inference.card is not None
    assert inference.task is not None
    task: Task = inference.task
    puzzles = task.held_out(num).inputs
    thinking = {"halt": "verifier", "max_segments": MAX_SEGMENTS}
    verified = inference.solve_cells(puzzles, **thinking)
    nearly = _nearly_solved(inference, num) if inference.card.task == "sudoku" else (None, None)
    tried = inference.solve_cells(puzzles, tries=NUM_TRIES, **thinking)
    return Solving(
        num=len(puzzles),
        verified=float(verified.is_verified.mean()),
        with_tries=float(tried.is_verified.mean()),
        mean_segments=float(tried.num_segments_spent.mean()),
        nearly_solved=nearly[0],
        nearly_solved_one_pass=nearly[1],
    )


def _nearly_solved(inference: HRMInference, num: int) -> tuple[float, float]:
    """With one to five blanks: ended by the rules, and as `HRMInference` solves where nothing is said."""
    assert inference.card is not None
    cells = inference.num_cells
    task = make_task("sudoku", size=inference.card.options["size"], givens=[cells - MOST_BLANKS, cells - 1])
    inputs = task.held_out(num).inputs
    verified = inference.solve_cells(inputs, halt="verifier", max_segments=MAX_SEGMENTS)
    one_pass = inference.solve_cells(inputs)
    return float(verified.is_verified.mean()), float(task.verify(inputs, one_pass.answers).mean())
