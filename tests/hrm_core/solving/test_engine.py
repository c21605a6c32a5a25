"""Puzzles come while others are under way, and may be given up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.patterns import BLANK, PatternsConfig, PatternsTask

Build = Callable[..., HRM]


def test_a_late_puzzle_joins_the_batch_and_gets_what_it_gets_alone(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    model, settings = build_solver_model(), SolveSettings(max_segments=5, halt="never", tries=2)
    engine, settled = Engine(model, batch_size=8), []
    first = engine.submit(puzzles[0], settings)
    engine.step()
    engine.step()
    late = engine.submit(puzzles[1], SolveSettings(max_segments=2, halt="never"))
    while not engine.is_idle:
        settled += engine.step()
    assert settled == [late, first]
    for job, row, alone in ((first, 0, settings), (late, 1, late.settings)):
        np.testing.assert_array_equal(
            job.solution().cells, Solver(model).solve(puzzles[row : row + 1], alone)[0].cells
        )


def test_everybodys_first_try_goes_before_anybodys_second(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    engine, settings = Engine(build_solver_model(), batch_size=2), SolveSettings(max_segments=1, tries=3)
    jobs = [engine.submit(puzzle, settings) for puzzle in puzzles[:4]]
    engine.step()
    engine.step()
    assert [job.num_tries_started for job in jobs] == [1, 1, 1, 1]


def test_a_withdrawn_puzzle_costs_nothing_more(build_solver_model: Build, puzzles: np.ndarray) -> None:
    engine, settings = (
        Engine(build_solver_model(), batch_size=2),
        SolveSettings(halt="never", max_segments=50, tries=9),
    )
    given_up, other = (
        engine.submit(puzzles[0], settings),
        engine.submit(puzzles[1], SolveSettings(max_segments=3, halt="never")),
    )
    engine.step()
    engine.withdraw(given_up)
    settled = []
    while not engine.is_idle:
        settled += engine.step()
    assert settled == [other]
    assert given_up.num_segments_spent == 1


def test_an_idle_engine_has_nothing_to_do(build_solver_model: Build) -> None:
    engine = Engine(build_solver_model())
    assert engine.is_idle
    assert engine.step() == []


def test_the_verifier_is_asked_only_where_it_decides(
    build_solver_model: Build, build_verifier, puzzles: np.ndarray
) -> None:
    verifier = build_verifier(7)
    Solver(build_solver_model(), verifier).solve(puzzles, halt="never", max_segments=9)
    assert verifier.num_asked == len(puzzles)


def test_a_dead_row_of_nan_ends_at_its_limit(build_solver_model: Build, puzzles: np.ndarray) -> None:
    model = build_solver_model()
    model.inner.q_head.bias.data.fill_(float("nan"))
    found = Solver(model).solve(puzzles[:3], max_segments=4, tries=2)
    assert set(found.num_segments) == {4}
    assert np.isnan(found.confidence).all()


@pytest.mark.parametrize(
    "changes", [{"L_hidden_size": 64, "num_heads": 1, "shares_nets": False}, {"mixer": "attention"}], ids=str
)
def test_other_forms_of_the_model_solve_as_well(
    changes: dict, build_solver_model: Build, puzzles: np.ndarray
) -> None:
    found = Solver(build_solver_model(**changes)).solve(puzzles[:5], tries=3, max_segments=3, batch_size=4)
    assert len(found) == 5


def test_a_concluded_puzzle_gives_its_best_answer_so_far(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    engine, settings = Engine(build_solver_model(), batch_size=2), SolveSettings(max_segments=50)
    first, other = (engine.submit(puzzle, settings) for puzzle in puzzles[:2])
    assert engine.conclude(engine.submit(puzzles[2], settings)) is None
    engine.step()
    engine.step()
    solution = engine.conclude(first)
    assert solution is not None
    alone = Solver(build_solver_model()).solve(puzzles[:1], settings.changed(max_segments=2))[0]
    np.testing.assert_array_equal(solution.cells, alone.cells)
    while not engine.is_idle:
        engine.step()
    assert first.num_segments_spent == 2
    assert other.num_segments_spent > 2


def test_every_segment_of_a_first_try_is_shown(build_solver_model: Build, puzzles: np.ndarray) -> None:
    shown = []
    engine = Engine(
        build_solver_model(), batch_size=4, on_segment=lambda job, q, answer: shown.append((job, q, answer))
    )
    job = engine.submit(puzzles[0], SolveSettings(max_segments=3, halt="never", tries=2))
    while not engine.is_idle:
        engine.step()
    assert [each for each, _, _ in shown] == [job] * 3
    assert engine.num_segments_spent == job.num_segments_spent == 6
    assert all(answer.shape == puzzles[0].shape for _, _, answer in shown)


def test_cells_that_a_puzzle_fixes_are_its_own_in_every_answer(build_fake_model: Build) -> None:
    """A model learns nothing of them; the rules, the loop and HTTP get them right all the same."""
    task = PatternsTask(PatternsConfig(terms=5, hidden=1, digits=2))
    examples = task.held_out(3)
    answer_of = dict(zip(map(bytes, examples.inputs), examples.answers()))

    def logits_of(row: np.ndarray) -> np.ndarray:
        """Right where a term is hidden; elsewhere the symbol after the right one."""
        answer = answer_of[bytes(row)]
        symbols = np.where(row == BLANK, answer, (answer + 1) % task.spec.vocab_size)
        return 9.0 * (symbols[:, None] == np.arange(task.spec.vocab_size))

    model, shown = build_fake_model(logits_of, num_cells=10, num_symbols=task.spec.vocab_size), []
    engine = Engine(model, task, on_segment=lambda job, q, answer: shown.append(answer))
    jobs = [engine.submit(cells, SolveSettings(max_segments=2, halt="verifier")) for cells in examples.inputs]
    while not engine.is_idle:
        engine.step()
    for job, answer in zip(jobs, examples.answers()):
        assert job.solution().outcome == "solved"
        np.testing.assert_array_equal(job.solution().cells, answer)
    np.testing.assert_array_equal(shown, examples.answers())
