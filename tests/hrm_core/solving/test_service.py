"""Many callers, one batch; every promise ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing

import numpy as np
import pytest
import torch

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.service import (
    MAX_MODEL_FAULTS,
    ModelFailed,
    ServiceClosed,
    ServiceFull,
    SolvingService,
    TaskFailed,
)
from sage.hrm_core.solving.settings import USUAL, SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.sudoku.task import SudokuConfig, SudokuTask

Build = Callable[..., HRM]
ENDLESS = SolveSettings(halt="never", max_segments=4096, tries=4096)


@pytest.fixture
def service(build_solver_model: Build) -> Iterator[SolvingService]:
    with closing(SolvingService(build_solver_model(), batch_size=8, max_waiting=30)) as service:
        yield service


def test_each_caller_gets_what_the_solver_would_give(
    service: SolvingService, build_solver_model: Build, puzzles: np.ndarray
):
    promises = [service.submit(cells, USUAL) for cells in puzzles]
    alone = Solver(build_solver_model()).solve(puzzles)
    for row, promise in enumerate(promises):
        found = promise.result(timeout=60)
        np.testing.assert_array_equal(found.cells, alone.answers[row])
        assert found.num_segments == alone.num_segments[row]
    assert service.statistics().num_solved == len(puzzles)
    assert service.statistics().num_waiting == 0


def test_a_short_puzzle_overtakes_an_endless_one(service: SolvingService, puzzles: np.ndarray) -> None:
    endless = service.submit(puzzles[0], SolveSettings(halt="never", max_segments=4096))
    assert service.submit(puzzles[1], SolveSettings(max_segments=1)).result(timeout=60).num_segments == 1
    assert not endless.done()
    assert endless.cancel()


def test_what_does_not_fit_is_told_to_its_caller_alone(service: SolvingService, puzzles: np.ndarray) -> None:
    wrong, right = service.submit(puzzles[0][:3], USUAL), service.submit(puzzles[0], USUAL)
    with pytest.raises(ValueError, match="shape"):
        wrong.result(timeout=60)
    assert right.result(timeout=60).num_segments >= 1


def test_a_full_service_says_so_and_a_cancelled_puzzle_makes_place(
    service: SolvingService, puzzles: np.ndarray
) -> None:
    endless = [service.submit(puzzles[row % 24], ENDLESS) for row in range(30)]
    with pytest.raises(ServiceFull, match="30 puzzles are waiting"):
        service.submit(puzzles[0], USUAL)
    for promise in endless:
        assert promise.cancel()
    while service.statistics().num_waiting > 8:  # the thread is in a segment, and sees it after that
        pass
    assert service.submit(puzzles[0], USUAL).result(timeout=60).num_segments >= 1


def test_closing_cancels_what_waits(build_solver_model: Build, puzzles: np.ndarray) -> None:
    service = SolvingService(build_solver_model())
    promise = service.submit(puzzles[0], ENDLESS)
    service.close()
    with pytest.raises(CancelledError):
        promise.result(timeout=60)
    with pytest.raises(RuntimeError, match="closed"):
        service.submit(puzzles[0], USUAL)


class Failing:
    """A hook of a model that raises while num_left is above 0."""

    def __init__(self, num_left: int) -> None:
        self.num_left = num_left

    def __call__(self, *_: object) -> None:
        if self.num_left:
            self.num_left -= 1
            raise torch.OutOfMemoryError("no memory left")


def test_an_error_of_the_model_reaches_every_caller_of_its_batch_alone(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    model = build_solver_model()
    model.inner.register_forward_pre_hook(Failing(1))
    with closing(SolvingService(model)) as service:
        failed = service.submit(puzzles[0], USUAL)
        with pytest.raises(ModelFailed, match="OutOfMemoryError: no memory left: submit the puzzle again"):
            failed.result(timeout=60)
        assert service.is_running
        assert service.submit(puzzles[0], USUAL).result(timeout=60).num_segments >= 1
        assert service.statistics().num_failed == 1


def test_a_model_that_keeps_failing_stops_its_thread(build_solver_model: Build, puzzles: np.ndarray) -> None:
    model = build_solver_model()
    model.inner.register_forward_pre_hook(Failing(MAX_MODEL_FAULTS))
    with closing(SolvingService(model)) as service:
        for _ in range(MAX_MODEL_FAULTS):
            with pytest.raises(ModelFailed):
                service.submit(puzzles[0], USUAL).result(timeout=60)
        with pytest.raises(ServiceClosed, match="closed"):
            service.submit(puzzles[0], USUAL)
        assert service.statistics().num_failed == MAX_MODEL_FAULTS


def test_a_cancelled_search_leaves_the_batch(build_fake_model: Build, build_random_logits: Build) -> None:
    """The puzzle's givens agree and have no solution; its tree is not exhausted within the test."""
    task = SudokuTask(SudokuConfig(size=6))
    puzzle = np.ones(36, np.int32)
    puzzle[:6] = (1, 2, 3, 4, 5, 6)
    puzzle[6], puzzle[35] = 7, 2
    model = build_fake_model(build_random_logits(8), num_cells=36, num_symbols=8)
    settings = SolveSettings(max_segments=1, search=65_536, search_segments=1, halt="never")
    with closing(SolvingService(model, task, batch_size=4)) as service:
        endless = service.submit(puzzle, settings)
        solved = service.submit(task.held_out(1).inputs[0], settings.changed(search=2))
        assert solved.result(timeout=60).trace is not None
        assert endless.cancel()
        again = service.submit(task.held_out(1).inputs[0], settings.changed(search=2))
        assert again.result(timeout=60).trace is not None
        assert service.statistics().num_waiting == 0


class FailingRules(SudokuTask):
    """Raises for one puzzle, whatever else is in the batch."""

    def __init__(self, method: str, puzzle: np.ndarray, fault: BaseException) -> None:
        super().__init__(SudokuConfig(size=6))
        self._method, self._puzzle, self._fault = method, puzzle, fault

    def _may_fail(self, method: str, inputs: np.ndarray) -> None:
        if method == self._method and (inputs == self._puzzle).all(axis=-1).any():
            raise self._fault

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        self._may_fail("verify", inputs)
        return super().verify(inputs, answers)

    def with_givens(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        self._may_fail("with_givens", inputs)
        return answers

    def may_extend(self, inputs: np.ndarray, partials: np.ndarray) -> np.ndarray:
        self._may_fail("may_extend", inputs)
        return super().may_extend(inputs, partials)

    def as_inputs(self, inputs: np.ndarray, partials: np.ndarray) -> np.ndarray:
        self._may_fail("as_inputs", inputs)
        found: np.ndarray = super().as_inputs(inputs, partials)
        return found[:, :5] if self._method == "shape" and (inputs == self._puzzle).all() else found


@pytest.mark.parametrize("method", ["verify", "with_givens", "may_extend", "as_inputs", "shape"])
@pytest.mark.parametrize("fault", [ValueError("a defect"), SystemExit(1)], ids=["error", "exit"])
def test_what_a_task_raises_ends_its_puzzle_alone(
    method: str, fault: BaseException, build_fake_model: Build, build_random_logits: Build
) -> None:
    puzzles = SudokuTask(SudokuConfig(size=6)).held_out(3).inputs
    model = build_fake_model(build_random_logits(8), num_cells=36, num_symbols=8)
    settings = SolveSettings(max_segments=1, search=4, search_segments=1, halt="verifier")
    with closing(SolvingService(model, FailingRules(method, puzzles[0], fault), batch_size=8)) as service:
        wrong, *others = [service.submit(cells, settings) for cells in puzzles]
        with pytest.raises(TaskFailed, match="the task failed: ") as raised:
            wrong.result(timeout=60)
        assert raised.value.__cause__ is fault or method == "shape"
        assert [each.result(timeout=60).trace is not None for each in others] == [True, True]
        again = service.submit(puzzles[1], settings)
        assert again.result(timeout=60).trace is not None
        found = service.statistics()
        assert (found.num_solved, found.num_failed, found.num_waiting) == (3, 1, 0)
        assert service.is_running


def test_sys_exit_in_a_model_is_an_error_of_it(build_solver_model: Build, puzzles: np.ndarray) -> None:
    model = build_solver_model()

    def leave(*_: object) -> None:
        raise SystemExit(3)

    model.inner.register_forward_pre_hook(leave)
    with closing(SolvingService(model)) as service:
        with pytest.raises(ModelFailed, match="SystemExit: 3"):
            service.submit(puzzles[0], USUAL).result(timeout=60)
        assert service.is_running
