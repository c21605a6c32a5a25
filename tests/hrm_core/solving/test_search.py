"""Best-first search: answers do not depend on the batch, budgets hold, an empty tree is a proof."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.hrm_core.solving.branching import line_deviation
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solution, Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import TaskSpec
from sage.hrm_core.tasks.lines import exclusive_lines
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask

Build = Callable[..., Any]
#: A short plain try, so that the search has work to do.
WAY: dict[str, Any] = {"halt": "never", "max_segments": 2, "search": 40, "search_segments": 3}


@pytest.fixture(scope="module")
def task() -> SudokuTask:
    return SudokuTask(SudokuConfig(size=4))


@pytest.fixture(scope="module")
def small(task: SudokuTask) -> np.ndarray:
    """(12, 16) puzzles."""
    return task.held_out(12).inputs


@pytest.fixture
def random_model(build_fake_model: Build, build_random_logits: Build) -> Any:
    """Its probabilities are random, a function of the input."""
    return build_fake_model(build_random_logits(6), num_cells=16, num_symbols=6)


def unsolvable() -> np.ndarray:
    """(16,) a 4x4 puzzle whose givens agree with each other and have no solution: no digit for one cell."""
    cells = np.ones((4, 4), np.int32)
    cells[0, 1:3], cells[1, 0], cells[3, 3] = (2, 3), 4, 4  # cell (0, 3) can only be 5, and so can (0, 0)
    cells[2, 0] = 5
    return cells.reshape(-1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"search_width": 1},
        {"search_width": 7, "branching": "margin"},
        {"branching": "fewest", "abstains": True},
        {"scorer": "uniform"},
        {"tries": 3, "halt": "q"},
    ],
    ids=str,
)
def test_a_tree_is_the_same_whatever_the_batch_and_the_neighbours(
    changes: dict[str, Any], random_model: Any, task: SudokuTask, small: np.ndarray
) -> None:
    solver, way = Solver(random_model, task), {**WAY, **changes}
    alone = Solutions.stack([solver.solve(puzzle[None], **way)[0] for puzzle in small], 16)
    assert any(trace is not None and trace.depth > 1 for trace in alone.trace)
    for batch_size in (1, 3, 64):
        assert_equal(solver.solve(small, batch_size=batch_size, **way), alone)
    order = np.random.default_rng(0).permutation(len(small))
    found = solver.solve(small[order], batch_size=5, **way)
    assert_equal(found, Solutions.stack([alone[row] for row in order], 16))


def assert_equal(left: Solutions, right: Solutions) -> None:
    for field in dataclasses.fields(Solutions):
        one, other = getattr(left, field.name), getattr(right, field.name)
        if field.name in ("outcome", "trace"):
            assert one == other
        elif field.name == "num_segments_spent":  # later tries may begin before an earlier one is verified
            continue
        else:
            np.testing.assert_array_equal(one, other, err_msg=field.name)


def test_a_trained_model_gives_equal_answers_whatever_the_batch() -> None:
    """Its matrix products round differently in each batch, so the answers are compared, and not the trees."""
    published = load_published("sudoku6")
    assert published.task is not None
    solver, puzzles = Solver(published.model, published.task), published.task.held_out(12).inputs
    way = {"halt": "never", "max_segments": 1, "search": 200, "search_segments": 2}
    plain = solver.solve(puzzles, **{**way, "search": 0})
    found = [solver.solve(puzzles, batch_size=size, **way) for size in (1, 4, 64)]
    assert found[0].is_verified.all()
    assert not plain.is_verified.all()
    for other in found[1:]:
        np.testing.assert_array_equal(other.answers, found[0].answers)


@pytest.mark.parametrize("search", [1, 2, 5, 6, 40])
@pytest.mark.parametrize("width", [1, 4])
def test_the_budget_is_kept_and_the_trace_adds_up(
    search: int, width: int, random_model: Any, task: SudokuTask, small: np.ndarray
) -> None:
    found = Solver(random_model, task).solve(small, **{**WAY, "search": search, "search_width": width})
    for solution, puzzle in zip(found, small):
        trace = solution.trace
        assert trace is not None
        assert 1 <= trace.calls <= search == trace.budget
        assert (trace.width, solution.outcome == "solved") == (width, solution.is_verified)
        assert trace.calls == search or solution.outcome == "solved"
        assert solution.num_segments_spent == 2 + 3 * (trace.calls - 1)
        assert trace.nodes >= trace.calls
        assert len(trace.guesses) <= trace.depth < trace.calls or trace.calls == 1
        for cell, symbol in trace.guesses:
            assert puzzle[cell] == 1
            assert solution.cells[cell] == symbol
        if solution.is_verified:
            assert task.verify(puzzle[None], solution.cells[None])[0]


def test_more_calls_solve_what_fewer_solve(random_model: Any, task: SudokuTask, small: np.ndarray) -> None:
    before = np.zeros(len(small), bool)
    for search in (0, 4, 40, 1000):
        found = Solver(random_model, task).solve(small, **{**WAY, "search": search, "search_width": 1})
        assert (found.is_verified >= before).all()
        before = found.is_verified
    assert before.all()


def test_a_puzzle_that_a_try_solves_is_not_searched(task: SudokuTask, small: np.ndarray) -> None:
    published = load_published("sudoku4")
    found = Solver(published.model, task).solve(small, max_segments=16, search=9)
    assert found.is_verified.all()
    assert found.trace == (None,) * len(small)
    assert set(found.outcome) == {"solved"}


def test_a_model_ranks_better_than_random_numbers(build_fake_model: Build, task: SudokuTask) -> None:
    """The model ranks the right digit first in one blank cell, and is wrong in all others."""
    examples = task.held_out(12)
    pairs = list(zip(examples.inputs, examples.labels))

    def logits_of(row: np.ndarray) -> np.ndarray:
        labels = next(each for cells, each in pairs if ((cells == 1) | (cells == row)).all())
        first = np.flatnonzero(row == 1)[:1]
        logits = np.zeros((16, 6))
        logits[:, 2] = 20.0
        logits[first] = 0.0
        logits[first, labels[first]] = 6.0
        return logits

    model = build_fake_model(logits_of, num_cells=16, num_symbols=6)
    way = {**WAY, "search": 16, "search_width": 1}
    by_model, control = (
        Solver(model, task).solve(examples.inputs, scorer=scorer, **way) for scorer in ("model", "uniform")
    )
    assert by_model.is_verified.sum() > control.is_verified.sum()


def test_an_empty_tree_is_no_solution(random_model: Any, task: SudokuTask) -> None:
    puzzle = unsolvable()
    assert task.may_extend(puzzle[None], puzzle[None])[0]
    found = Solver(random_model, task).solve(puzzle[None], **{**WAY, "search": 5000})[0]
    assert found.outcome == "no_solution"
    assert found.trace is not None
    assert 1 < found.trace.calls < 5000
    few = Solver(random_model, task).solve(puzzle[None], **{**WAY, "search": 2})[0]
    assert few.outcome == "budget"
    clash = puzzle.copy()
    clash[0] = clash[1]
    at_once = Solver(random_model, task).solve(clash[None], **WAY)[0]
    assert at_once.outcome == "no_solution"
    assert at_once.trace is not None
    assert at_once.trace.calls == 1


def test_without_a_verified_answer_the_most_trusted_one_is_given_or_none(
    random_model: Any, task: SudokuTask
) -> None:
    puzzle = unsolvable()[None]
    way = {**WAY, "search": 6, "search_width": 2}
    plain = Solver(random_model, task).solve(puzzle, **{**way, "search": 0})[0]
    best, withheld = (
        Solver(random_model, task).solve(puzzle, abstains=abstains, **way)[0] for abstains in (False, True)
    )
    assert best.confidence >= plain.confidence
    assert best.cells.any()
    assert (withheld.outcome, withheld.is_abstained, withheld.cells.any()) == ("abstained", True, False)


def test_time_ends_a_search_between_waves(random_model: Any, task: SudokuTask, small: np.ndarray) -> None:
    ticks = itertools.count()
    settings = {**WAY, "search": 1000, "search_width": 2, "search_seconds": 2.5}
    engine = Engine(random_model, task, clock=lambda: float(next(ticks)))
    job = engine.submit(unsolvable(), SolveSettings(**settings))
    while not engine.is_idle:
        engine.step()
    trace = job.solution().trace
    assert job.solution().outcome == "budget"
    assert trace is not None
    assert trace.calls == 1 + 2 * 2  # the clock is read at the start, then after every wave: 1, 2, 3 seconds


def test_numbers_that_are_not_finite_end_as_diverged(build_fake_model: Build, task: SudokuTask) -> None:
    model = build_fake_model(lambda row: np.full((16, 6), np.nan), num_cells=16, num_symbols=6)
    found = Solver(model, task).solve(unsolvable()[None], **WAY)[0]
    assert found.outcome == "diverged"


def test_a_conflict_lowers_the_rank_and_drops_nothing(build_fake_model: Build, task: SudokuTask) -> None:
    """Cell 14 may be 2 or 5, the model ranks 2 first; the conflict head objects to it."""
    puzzle = unsolvable()

    def logits_of(row: np.ndarray) -> np.ndarray:
        logits = np.zeros((16, 6))
        logits[:, 2], logits[:, 5] = 3.0, 1.0 + 0.1 * np.arange(16)  # a later cell is branched first
        return logits

    def run(weight: float) -> tuple[list[np.ndarray], Solution]:
        model = build_fake_model(
            logits_of,
            num_cells=16,
            num_symbols=6,
            conflict_of=lambda row: 20.0 if row[14] == 2 else -20.0,
        )
        way = {**WAY, "search": 5000, "search_width": 1, "search_segments": 1, "max_segments": 1}
        found = Solver(model, task).solve(puzzle[None], conflict_weight=weight, **way)[0]
        return model.inputs_seen, found

    (order, found), (other_order, other) = run(0.0), run(5.0)
    assert found.outcome == other.outcome == "no_solution"
    assert {row.tobytes() for row in order} == {row.tobytes() for row in other_order}
    firsts = [[int(row[14]) for row in each if row[14] > 1] for each in (order, other_order)]
    assert (firsts[0][0], firsts[0] != sorted(firsts[0])) == (2, True)
    assert firsts[1] == [2, *[5] * firsts[1].count(5), *[2] * (firsts[1].count(2) - 1)]


def test_probabilities_that_contradict_each_other_lower_the_rank(
    build_fake_model: Build, task: SudokuTask
) -> None:
    """Where cell 14 is 2 the model expects 3 in every other cell, and 3 or 5 in cell 5, which is branched."""

    def logits_of(row: np.ndarray) -> np.ndarray:
        logits = np.zeros((16, 6))
        if row[14] == 2:
            logits[:, 3] = 20.0
            logits[5, 5] = 20.0
        else:
            logits[:, 2], logits[:, 5] = 3.0, 0.1 + 0.1 * np.arange(16)
        return logits

    def order_of(weight: float) -> list[int]:
        model = build_fake_model(logits_of, num_cells=16, num_symbols=6)
        way = {**WAY, "search_width": 1, "search_segments": 1, "max_segments": 1}
        Solver(model, task).solve(unsolvable()[None], line_weight=weight, **way)
        return [int(row[14]) for each in model.inputs_seen for row in each[None] if row[14] > 1]

    assert order_of(0.0)[:2] == [2, 2]
    assert order_of(4.0)[:2] == [2, 5]


class Staircase:
    """Steps: cell k gets a symbol from 1 to 3 that differs by 1 from the one before; the first and the
    last cell are given by the puzzle's cells 0 and 1.
    """

    spec = TaskSpec(name="staircase", vocab_size=4, seq_len=6)

    def _paths(self, inputs: np.ndarray, partial: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for puzzle, row in zip(inputs, partial):
            yield puzzle, row[2:][row[2:] > 0]

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        ends = (answers[:, 2] == inputs[:, 0]) & (answers[:, 5] == inputs[:, 1])
        is_valid: np.ndarray = ends & (answers[:, 2:] > 0).all(axis=1) & self.may_extend(inputs, answers)
        return is_valid

    def may_extend(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        return np.array(
            [
                bool((np.abs(np.diff(path)) == 1).all() and (path[:1] == puzzle[0]).all())
                for puzzle, path in self._paths(inputs, partial)
            ],
            bool,
        )

    def as_inputs(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        return partial

    def complete(self, inputs: np.ndarray, partial: np.ndarray, answers: np.ndarray) -> np.ndarray:
        return np.where(partial > 0, partial, answers)

    def next_choices(self, inputs: np.ndarray, partial: np.ndarray) -> np.ndarray:
        length = int((partial[2:] > 0).sum())
        return np.array([(2 + length, symbol) for symbol in (1, 2, 3) if length < 4], np.int32).reshape(-1, 2)


@pytest.mark.parametrize(("ends", "outcome"), [((1, 2), "solved"), ((1, 3), "no_solution")])
def test_a_task_of_steps_is_searched(ends: tuple[int, int], outcome: str, build_fake_model: Build) -> None:
    model = build_fake_model(lambda row: np.zeros((6, 4)), num_cells=6, num_symbols=4)
    puzzle = np.array([*ends, 0, 0, 0, 0], np.int32)
    found = Solver(model, Staircase()).solve(puzzle[None], **WAY)[0]
    assert found.outcome == outcome
    if outcome == "solved":
        assert found.trace is not None
        assert [cell for cell, _ in found.trace.guesses] == [2, 3, 4, 5]
        assert found.cells[2] == 1
        assert found.cells[5] == 2


def test_a_task_without_a_check_of_partial_answers_is_refused(
    random_model: Any, build_verifier: Any, small: np.ndarray
) -> None:
    for verifier, said in ((build_verifier(2), "search is 9: the task has no check"), (None, "no verifier")):
        with pytest.raises(ValueError, match=said):
            Solver(random_model, verifier).solve(small, search=9)


def test_a_withdrawn_search_leaves_the_batch(random_model: Any, task: SudokuTask, small: np.ndarray) -> None:
    engine = Engine(random_model, task, batch_size=2)
    settings = SolveSettings(**{**WAY, "search": 5000})
    given_up, other = engine.submit(unsolvable(), settings), engine.submit(small[0], settings)
    for _ in range(4):
        engine.step()
    spent = given_up.num_segments_spent
    assert spent > 2
    engine.withdraw(given_up)
    settled = []
    while not engine.is_idle:
        settled += engine.step()
    assert settled == [other]
    assert given_up.num_segments_spent == spent


def test_probabilities_that_use_a_symbol_twice_in_a_line_deviate() -> None:
    lines = exclusive_lines(SudokuTask(SudokuConfig(size=4)).spec)
    answer = SudokuTask(SudokuConfig(size=4)).held_out(1).labels[0]
    log_probs = np.full((16, 6), -30.0)
    log_probs[np.arange(16), answer] = 0.0
    blank = np.ones(16, np.int32)
    assert line_deviation(blank, log_probs, lines, 2) == pytest.approx(0.0, abs=1e-6)
    wrong = blank.copy()
    wrong[0] = 2 + (answer[0] - 1) % 4  # a choice that the rest of the answer contradicts
    assert line_deviation(wrong, log_probs, lines, 2) == pytest.approx(1.0, abs=1e-6)


def test_uniform_probabilities_deviate_by_the_share_that_other_symbols_take() -> None:
    lines = exclusive_lines(SudokuTask(SudokuConfig(size=4)).spec)
    flat = np.log(np.full((16, 6), 1 / 6))  # two of the six symbols are no digits
    assert line_deviation(np.ones(16, np.int32), flat, lines, 2) == pytest.approx(1 / 3)
