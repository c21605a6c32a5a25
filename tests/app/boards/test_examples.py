"""Puzzles to try."""

from __future__ import annotations

import pytest

from sage.app.boards.examples import example, example_kinds
from sage.errors import InputError
from sage.hrm_core.solving.inference import HRMInference
from sage.hrm_core.tasks.catalogue import make_task


def test_examples_are_puzzles_that_the_task_reads() -> None:
    task = make_task("sudoku", size=4)
    assert example_kinds(task) == ("easy",)
    assert task.encode(example(task, "easy", 3)).shape == (16,)  # type: ignore[attr-defined]
    nine = make_task("sudoku", size=9)
    assert example_kinds(nine) == ("easy", "hard")
    nine.encode(example(nine, "hard", 5))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="give one of easy"):
        example(task, "hard", 0)
    assert example_kinds(None) == ()


@pytest.mark.slow
def test_the_hard_sudoku_is_solved_by_search_and_not_by_one_try() -> None:
    inference = HRMInference("sudoku9")
    assert inference.task is not None
    puzzle = example(inference.task, "hard", 0)
    assert not inference.solve_one(puzzle, halt="verifier").solution.is_verified
    found = inference.solve_one(puzzle, halt="verifier", search=64).solution
    assert found.is_verified
    assert found.trace is not None
    assert found.trace.guesses
