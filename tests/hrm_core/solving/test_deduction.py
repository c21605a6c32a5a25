"""Chains of deductions and guesses, and best-first search over candidate sets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.optim.config import OptimizerConfig
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solutions import Solutions
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Task
from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.deduction_config import DeductionConfig
from sage.hrm_core.training.trainer import Trainer

CONFIG = TrainConfig(
    steps=60,
    batch_size=16,
    clip_norm=1.0,
    q_weight=0.05,
    eval_examples=1,
    eval_segments=(1,),
    optimizer=OptimizerConfig(kind="muon", lr=1e-2, warmup_steps=4, min_lr_ratio=0.1),
    deduction=DeductionConfig(loops=2),
)
#: A plain try of one segment leaves something to do.
SHORT = SolveSettings(max_segments=1, halt="never", search=40, search_segments=2)
CHAINS = dataclasses.replace(SHORT, chains=4)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("sudoku", size=4)


@pytest.fixture(scope="module")
def model(task: Task) -> HRM:
    """Half trained: it solves many puzzles by search, not all, and makes mistakes."""
    front = TokenFront(vocab_size=6, seq_len=16, positions="none", alike_from=2)
    config = ModelConfig.preset("deduce", front=front, box=(2, 2), hidden_size=16)
    model = HRM(config, generator=torch.Generator().manual_seed(0))
    Trainer(model, task, CONFIG).train()
    return model.eval()


@pytest.fixture(scope="module")
def inputs(task: Task) -> np.ndarray:
    return task.held_out(12).inputs


def same(found: Solutions, other: Solutions) -> bool:
    arrays = ("answers", "is_verified", "is_abstained", "num_segments")
    return found.outcome == other.outcome and all(
        np.array_equal(getattr(found, name), getattr(other, name)) for name in arrays
    )


@pytest.mark.parametrize("settings", [SHORT, CHAINS])
@pytest.mark.parametrize("has_rules", [True, False])
def test_answers_do_not_depend_on_the_batch(
    model: HRM, task: Task, inputs: np.ndarray, settings: SolveSettings, has_rules: bool
) -> None:
    if not (has_rules or settings.chains):
        settings = dataclasses.replace(settings, search=0)
    solver = Solver(model, task if has_rules else None)
    whole = solver.solve(inputs, settings, batch_size=64)
    assert same(whole, solver.solve(inputs, settings, batch_size=1))
    order = np.random.default_rng(1).permutation(len(inputs))
    shuffled = solver.solve(inputs[order], settings, batch_size=7)
    assert all(np.array_equal(shuffled[at].cells, whole[row].cells) for at, row in enumerate(order))
    assert [trace and trace.calls for trace in shuffled.trace] == [
        trace and trace.calls for trace in (whole.trace[row] for row in order)
    ]


def test_with_rules_every_answer_is_right_and_chains_solve_more_than_a_try(
    model: HRM, task: Task, inputs: np.ndarray
) -> None:
    solver = Solver(model, task)
    plain = solver.solve(inputs, dataclasses.replace(SHORT, search=0, abstains=True))
    for settings in (SHORT, CHAINS):
        found = solver.solve(inputs, dataclasses.replace(settings, abstains=True))
        assert found.is_verified.mean() > plain.is_verified.mean()
        assert (found.is_verified | found.is_abstained).all()
        assert task.verify(inputs, found.answers)[found.is_verified].all()


def test_without_rules_the_conflict_head_accepts_or_there_is_no_answer(
    model: HRM, task: Task, inputs: np.ndarray
) -> None:
    found = Solver(model).solve(inputs, CHAINS)
    assert set(found.outcome) <= {"halted", "abstained"}
    assert "halted" in found.outcome
    assert (found.answers[found.is_abstained] == 0).all()
    answered = ~found.is_abstained
    assert task.verify(inputs, found.answers)[answered].mean() > 0.5
    never = Solver(model).solve(inputs, dataclasses.replace(CHAINS, conflict_above=0.0))
    assert set(never.outcome) == {"abstained"}


@pytest.mark.parametrize("settings", [SHORT, CHAINS])
@pytest.mark.parametrize("budget", [1, 2, 7])
def test_the_budget_of_calls_is_kept(
    model: HRM, task: Task, inputs: np.ndarray, settings: SolveSettings, budget: int
) -> None:
    found = Solver(model, task).solve(inputs, dataclasses.replace(settings, search=budget))
    traces = [trace for trace in found.trace if trace is not None]
    assert traces
    assert max(trace.calls for trace in traces) <= budget
    assert all(trace.calls >= 1 and trace.width in (4,) for trace in traces)


def test_the_guesses_of_a_chain_are_part_of_its_answer(model: HRM, task: Task, inputs: np.ndarray) -> None:
    found = Solver(model, task).solve(inputs, CHAINS)
    guessed = [each for each in found if each.is_verified and each.trace and each.trace.guesses]
    assert guessed
    for each in guessed:
        assert each.trace is not None
        assert all(each.cells[cell] == symbol for cell, symbol in each.trace.guesses)


def test_a_puzzle_without_a_solution_is_never_answered_with_rules(model: HRM, task: Task) -> None:
    puzzle = np.ones((1, 16), np.int32)
    puzzle[0, :3] = (2, 3, 4)
    puzzle[0, 7] = 5  # no cell of the first row is left for the fourth symbol
    for settings in (SHORT, CHAINS):
        found = Solver(model, task).solve(puzzle, dataclasses.replace(settings, abstains=True))
        assert found.is_abstained.all()


def test_search_with_kills_stays_complete(model: HRM, task: Task, inputs: np.ndarray) -> None:
    """Every candidate is killed but the best: the tree still has the solution."""
    settings = dataclasses.replace(SHORT, search=4000, kill_below=1.0, abstains=True)
    assert Solver(model, task).solve(inputs, settings).is_verified.all()


def test_chains_need_deduction_heads_and_a_budget() -> None:
    plain = HRM(ModelConfig.preset("sudoku", hidden_size=16))
    with pytest.raises(InputError, match="chains is 4: the model has no deduction heads"):
        Solver(plain).solve(np.ones((1, 81), np.int32), CHAINS)
    with pytest.raises(InputError, match="chains is 4: give search, the calls"):
        SolveSettings(chains=4)
    with pytest.raises(InputError, match=r"kill_below is 2\.0: give a number from 0 to 1"):
        SolveSettings(kill_below=2.0)
    with pytest.raises(InputError, match="temperature is 0: give a number above 0"):
        SolveSettings(temperature=0)


def test_chains_remove_more_than_a_search_unless_a_number_is_given() -> None:
    assert SolveSettings(search=9).kills_below < SolveSettings(search=9, chains=2).kills_below
    assert SolveSettings(search=9, chains=2, kill_below=0.0).kills_below == 0.0
