"""Rows halt, leave and are replaced; what each puzzle gets is what it would have got alone."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.evaluation.evaluate import run_segments
from sage.hrm_core.model.hrm import HRM, TokenBatch
from sage.hrm_core.observation.model import ObservationModel
from sage.hrm_core.solving.engine import Engine
from sage.hrm_core.solving.job import Job
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.contract import Examples

Build = Callable[..., HRM]
WAYS: list[dict[str, Any]] = [
    {},
    {"halt": "never", "max_segments": 3},
    {"halt": "verifier"},
    {"tries": 3, "max_segments": 8},
    {"tries": 4, "halt": "verifier", "abstains": True, "max_segments": 6},
    {"tries": 3, "halt": "never", "variation": "start", "pick": "residual", "max_segments": 4},
    {"tries": 3, "variation": "start", "max_segments": 6},
]


def assert_same(left: Solutions, right: Solutions) -> None:
    for field in dataclasses.fields(Solutions):
        if field.name not in ("confidence", "num_segments_spent"):
            np.testing.assert_array_equal(
                getattr(left, field.name), getattr(right, field.name), err_msg=field.name
            )
    np.testing.assert_allclose(left.confidence, right.confidence, atol=1e-5)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_batch_gives_what_each_row_gets_alone(
    way: dict, build_solver_model: Build, build_verifier: Any, puzzles: np.ndarray
):
    solver = Solver(build_solver_model(), build_verifier(7))
    alone = [solver.solve(puzzle[None], **way)[0] for puzzle in puzzles]
    for batch_size in (1, 5, 100):
        assert_same(solver.solve(puzzles, batch_size=batch_size, **way), Solutions.stack(alone, 16))


def test_the_first_try_is_the_models_own_segments(build_solver_model: Build, puzzles: np.ndarray) -> None:
    model, rows = build_solver_model(), torch.from_numpy(puzzles)
    batch = TokenBatch(inputs=rows, labels=rows, puzzle_ids=torch.full((len(rows),), -1))
    state = model.initial_state(batch)
    with torch.inference_mode():
        for _ in range(4):
            state, output = model(state, batch, halts_early=False)
    found = Solver(model).solve(puzzles, max_segments=4, halt="never", batch_size=9)
    np.testing.assert_array_equal(found.answers, output.logits.argmax(-1).numpy())
    np.testing.assert_allclose(found.confidence, output.q_halt.sigmoid().numpy(), atol=1e-5)
    assert set(found.num_segments) == {4}
    assert not found.is_halted_early.any()


def test_a_row_that_halts_costs_no_more(build_solver_model: Build, puzzles: np.ndarray) -> None:
    found = Solver(build_solver_model()).solve(puzzles, max_segments=16)
    assert found.is_halted_early.any()
    assert not found.is_halted_early.all()
    np.testing.assert_array_equal(found.num_segments_spent, found.num_segments)
    np.testing.assert_array_equal(found.is_halted_early, found.num_segments < 16)
    assert (found.confidence[found.is_halted_early] > 0.5).all()  # halt > 0, before the sigmoid


def test_the_q_head_ends_a_try_only_when_it_is_sure(build_solver_model: Build, puzzles: np.ndarray) -> None:
    solver = Solver(build_solver_model())
    at_its_rule, sure = (solver.solve(puzzles, min_confidence=share) for share in (0.0, 0.75))
    assert (at_its_rule.confidence[at_its_rule.is_halted_early] < 0.75).any()
    assert (sure.confidence[sure.is_halted_early] >= 0.75).all()
    assert (sure.num_segments >= at_its_rule.num_segments).all()


def test_a_head_that_is_never_sure_gives_what_it_trusted_most(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    model = build_solver_model()
    found = Solver(model).solve(puzzles, min_confidence=0.999999, max_segments=6)
    by_depth = [Solver(model).solve(puzzles, halt="never", max_segments=depth) for depth in range(1, 7)]
    most = np.stack([each.confidence for each in by_depth]).argmax(0)
    expected = np.stack([each.answers for each in by_depth])[most, np.arange(len(puzzles))]
    assert len(set(most)) > 1
    np.testing.assert_array_equal(found.answers, expected)
    assert (found.num_segments == 6).all()


@pytest.mark.parametrize("has_q_continue", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.6, 0.9, 0.999999])
def test_an_evaluation_halts_as_a_solver_does(
    build_solver_model: Build, puzzles: np.ndarray, share: float, has_q_continue: bool
) -> None:
    model = build_solver_model(has_q_continue=has_q_continue)
    rows = Examples(inputs=puzzles, labels=puzzles, puzzle_ids=np.full(len(puzzles), -1, np.int32))
    trace = run_segments(model, rows, 8)
    index, num_segments = trace.halted(share)
    found = Solver(model).solve(puzzles, min_confidence=share, max_segments=8)
    np.testing.assert_array_equal(found.num_segments, num_segments)
    np.testing.assert_array_equal(found.answers, trace.answers[index, np.arange(len(puzzles))])


def test_the_rules_see_only_what_a_try_ends_with(
    build_solver_model: Build, build_verifier: Any, puzzles: np.ndarray
) -> None:
    verifier = build_verifier(2)
    found = Solver(build_solver_model(), verifier).solve(puzzles, min_confidence=0.9, max_segments=6)
    assert verifier.num_asked == len(puzzles)
    assert found.is_verified.any()


def test_freed_places_are_filled_at_once(build_solver_model: Build, puzzles: np.ndarray) -> None:
    """Four places for 24 puzzles: as many segments of the batch as the work needs, but for the last rows'
    tail.
    """
    model = build_solver_model()
    sizes: list[int] = []
    model.inner.register_forward_hook(lambda *args: sizes.append(args[1][1].inputs.shape[0]))
    found = Solver(model).solve(puzzles, max_segments=8, batch_size=4)
    assert sum(sizes) == found.num_segments.sum()
    first_short = sizes.index(next(size for size in sizes if size < 4))
    assert set(sizes[:first_short]) == {4}
    assert len(sizes) - first_short <= 8
    assert sizes[first_short:] == sorted(sizes[first_short:], reverse=True)


def test_the_verifier_ends_a_try_and_the_ones_after_it(
    build_solver_model: Build, build_verifier: Any, puzzles: np.ndarray
):
    verifier = build_verifier(7)
    found = Solver(build_solver_model(), verifier).solve(
        puzzles, halt="verifier", tries=8, max_segments=4, batch_size=8
    )
    assert found.is_verified.sum() > len(puzzles) // 2
    right = verifier.verify(puzzles, found.answers)
    np.testing.assert_array_equal(found.is_verified, right)
    assert (found.num_segments_spent[found.is_verified] < 8 * 4).all()
    assert (found.num_segments_spent[~found.is_verified] == 8 * 4).all()


def test_more_tries_never_lose_a_verified_answer(
    build_solver_model: Build, build_verifier: Any, puzzles: np.ndarray
) -> None:
    solver, before = Solver(build_solver_model(), build_verifier(7)), np.zeros(len(puzzles), bool)
    for tries in (1, 2, 4, 8):
        found = solver.solve(puzzles, tries=tries, halt="verifier", max_segments=4)
        assert (found.is_verified >= before).all()
        before = found.is_verified
    assert before.sum() > 5


def test_without_a_verifier_the_q_head_picks(build_solver_model: Build, puzzles: np.ndarray) -> None:
    solver = Solver(build_solver_model())
    one, many = solver.solve(puzzles, max_segments=4), solver.solve(puzzles, max_segments=4, tries=6)
    assert (many.confidence >= one.confidence - 1e-6).all()
    assert (many.attempt > 0).any()
    assert not many.is_verified.any()


def test_the_sound_mode_answers_rightly_or_not_at_all(
    build_solver_model: Build, build_verifier: Any, puzzles: np.ndarray
):
    found = Solver(build_solver_model(), build_verifier(7)).solve(puzzles, abstains=True)
    np.testing.assert_array_equal(found.is_abstained, ~found.is_verified)
    assert 0 < found.is_abstained.sum() < len(puzzles)
    assert not found.answers[found.is_abstained].any()
    assert (found.answers[~found.is_abstained].sum(axis=1) > 0).all()


def test_another_seed_is_another_noise_and_the_same_first_try(
    build_solver_model: Build, puzzles: np.ndarray
) -> None:
    solver = Solver(build_solver_model())
    left, right = (solver.solve(puzzles, tries=4, seed=seed, max_segments=4) for seed in (1, 2))
    assert (left.answers != right.answers).any()
    first = (left.attempt == 0) & (right.attempt == 0)
    np.testing.assert_array_equal(left.answers[first], right.answers[first])


def test_no_puzzles_no_answers(build_solver_model: Build) -> None:
    found = Solver(build_solver_model()).solve(np.zeros((0, 16), np.int32))
    assert len(found) == 0
    assert found.answers.shape == (0, 16)


def test_what_does_not_fit_is_refused_in_one_line(build_solver_model: Build, puzzles: np.ndarray) -> None:
    solver = Solver(build_solver_model())
    for inputs, wrong in (
        (puzzles[:, :9], "shape"),
        (puzzles[0], "shape"),
        (puzzles + 1, "cells range from 2 to 6"),
    ):
        with pytest.raises(ValueError, match=wrong):
            solver.solve(inputs)
    for way, wrong in (
        ({"halt": "verifier"}, "no verifier"),
        ({"abstains": True}, "no verifier"),
        ({"puzzle_ids": np.zeros(24, int)}, "puzzle_id is 0"),
        ({"puzzle_ids": np.zeros(3, int)}, "puzzle_ids have shape"),
        ({"max_segment": 3}, "max_segment: unknown setting"),
        ({"batch_size": 0}, "batch_size"),
    ):
        with pytest.raises(ValueError, match=wrong):
            solver.solve(puzzles, **way)


def test_a_model_of_sensors_solves_no_puzzles() -> None:
    model = ObservationModel(
        ModelConfig.preset("loop", front=ObservationFront(source_dims=(3,), num_actions=1))
    )
    with pytest.raises(TypeError, match="TokenFront"):
        Solver(model).solve(np.zeros((1, 3)))  # type: ignore[arg-type]


def test_a_settled_puzzle_is_dropped_with_its_outputs(
    build_solver_model: Build, puzzles: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of thousands of puzzles kept the last output of its plain try until all were solved."""
    jobs: list[weakref.ref[Job]] = []
    num_held: list[int] = []
    step, submit = Engine.step, Engine.submit

    def noting_step(engine: Engine) -> list[Job]:
        num_held.append(sum(job() is not None for job in jobs))
        return step(engine)

    def noting_submit(engine: Engine, *args: Any, **options: Any) -> Job:
        job = submit(engine, *args, **options)
        jobs.append(weakref.ref(job))
        return job

    monkeypatch.setattr(Engine, "step", noting_step)
    monkeypatch.setattr(Engine, "submit", noting_submit)
    Solver(build_solver_model()).solve(puzzles, SolveSettings(max_segments=1), batch_size=4)
    assert len(jobs) == len(puzzles)
    assert max(num_held[-2:]) <= 8
