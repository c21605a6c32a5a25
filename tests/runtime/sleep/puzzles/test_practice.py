from __future__ import annotations

from typing import Any

import pytest
import torch

from sage.hrm_core.model_family import family_of
from sage.hrm_core.tasks.contract import Task
from sage.runtime.config import SolverTrainingConfig
from sage.runtime.sleep.puzzles.family_trainer import is_high
from sage.runtime.sleep.puzzles.inline import InlineLearner
from sage.runtime.sleep.puzzles.memory import PuzzleMemory
from sage.runtime.sleep.puzzles.practice import PuzzlePractice
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed


def _learner(tasks: list[Task], **settings: Any) -> InlineLearner:
    family = family_of("sudoku", [task.spec for task in tasks], hidden_size=16)
    learner = InlineLearner(
        "puzzles", NAMES, tasks, family.configs, SolverTrainingConfig.model_validate(settings)
    )
    learner.open(family.weights())
    return learner


def test_practice_waits_for_puzzles_and_then_learns(tasks: list[Task], feed: Feed) -> None:
    learner = _learner(tasks, min_puzzles=16, warmup_steps=5)
    learner.work(0)
    assert learner.facts().num_steps == 0
    learner.note(feed(40))
    learner.work(0)
    first = learner.facts().loss
    for _ in range(40):
        learner.work(0)
    assert learner.facts().num_steps == 41
    assert learner.facts().loss < first
    assert learner.facts().num_experiences == 40
    learner.pause(True)
    learner.work(0)
    assert learner.facts().num_steps == 41
    learner.pause(False)
    learner.work(0)
    assert learner.facts().num_steps == 42


def test_compiling_ahead_changes_no_weight_and_leaves_no_gradient(tasks: list[Task], feed: Feed) -> None:
    weights = []
    for is_ahead in (False, True):
        learner = _learner(tasks, min_puzzles=16)
        if is_ahead:
            learner.trainer.compile_loops()
        learner.note(feed(20))
        learner.work(0)
        weights.append(learner.trainer.weights())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_equal_experiences_give_equal_weights(tasks: list[Task], feed: Feed) -> None:
    offers = []
    for _ in range(2):
        learner = _learner(tasks, offer_steps=6)
        learner.note([*feed(48), *feed(40, level=1)])
        for _ in range(6):
            learner.work(0)
        offers.append(learner.collect())
    one, other = offers
    assert one is not None
    assert other is not None
    assert one.num_steps == 6
    assert all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())


def test_weights_are_offered_once_every_so_many_steps(tasks: list[Task], feed: Feed) -> None:
    learner = _learner(tasks, offer_steps=3, inline_steps=2)
    learner.note(feed(60))
    counts = []
    for _ in range(6):
        learner.work(0)
        offer = learner.collect()
        counts.append(0 if offer is None else offer.num_steps)
    assert counts == [0, 3, 6, 0, 9, 12]


def test_inline_work_is_done_once_in_so_many_ticks(tasks: list[Task], feed: Feed) -> None:
    learner = _learner(tasks, inline_every=3)
    learner.note(feed(60))
    counts = []
    for _ in range(7):
        learner.work(0)
        counts.append(learner.facts().num_steps)
    assert counts == [0, 0, 1, 1, 1, 2, 2]


def test_a_night_goes_on_between_ticks_and_can_be_aborted(tasks: list[Task], feed: Feed) -> None:
    learner = _learner(tasks, min_examined=4, night_steps=2)
    learner.note(feed(120))
    learner.work(0)
    learner.begin_night(7)
    learner.work(0)
    assert learner.facts().is_sleeping
    learner.abort_night()
    assert not learner.facts().is_sleeping
    learner.begin_night(8)
    offer = None
    while offer is None:
        learner.work(0)
        offer = learner.collect()
    assert offer.kind == "night"
    assert offer.report is not None
    assert offer.report.tick == 8
    learner.close()
    learner.close()


@pytest.mark.parametrize(("learns", "moves_high"), [("low", False), ("high", True)])
def test_practice_moves_the_chosen_weights_alone(
    tasks: list[Task], feed: Feed, learns: str, moves_high: bool
) -> None:
    family = family_of("sudoku", [tasks[0].spec], hidden_size=16, shares_nets=False)
    config = SolverTrainingConfig.model_validate({"learns": learns})
    memory = PuzzleMemory(tasks[:1], config)
    for experience in feed(60):
        memory.note(experience)
    practice = PuzzlePractice(tasks[:1], family.configs, memory, config)
    practice.load(family.weights())
    before = {name: tensor.detach().clone() for name, tensor in practice.family.named_parameters()}
    for _ in range(3):
        assert practice.step()
    for name, tensor in practice.family.named_parameters():
        if is_high(name) != moves_high:
            assert torch.equal(tensor, before[name])
    changed = {name for name, tensor in practice.family.named_parameters() if (tensor != before[name]).any()}
    assert changed
    assert {is_high(name) for name in changed} == {moves_high}


def test_practice_can_be_switched_off(tasks: list[Task], feed: Feed) -> None:
    learner = _learner(tasks, practises=False)
    learner.note(feed(60))
    learner.work(0)
    assert learner.facts().num_steps == 0


def _practice(tasks: list[Task], **settings: Any) -> tuple[PuzzlePractice, PuzzleMemory]:
    config = SolverTrainingConfig.model_validate({"min_puzzles": 8, "warmup_steps": 1, **settings})
    family = family_of("sudoku", [task.spec for task in tasks], hidden_size=16)
    memory = PuzzleMemory(tasks, config)
    return PuzzlePractice(tasks, family.configs, memory, config), memory


def test_the_learning_rate_falls_with_wrong_answers_and_a_new_level_makes_it_whole(
    tasks: list[Task], feed: Feed
) -> None:
    practice, memory = _practice(tasks, least_rate=0.1)
    assert practice.rate == 1.0
    for experience in feed(300, is_right=True):
        memory.note(experience)
    assert practice.rate == pytest.approx(0.1)
    for experience in feed(7, level=1):  # too few to practise
        memory.note(experience)
    assert practice.rate == pytest.approx(0.1)
    for experience in feed(12, level=1, first=7):
        memory.note(experience)
    assert practice.rate == 1.0


def test_practice_moves_weights_in_proportion_to_the_rate(tasks: list[Task], feed: Feed) -> None:
    moved = []
    for least_rate in (1.0, 0.01):
        practice, memory = _practice(tasks[:1], least_rate=least_rate, ema_decay=0.0)
        for experience in feed(300, is_right=True):
            memory.note(experience)
        before = practice.weights()
        practice.step()
        after = practice.weights()
        moved.append(sum(float((after[name] - before[name]).abs().sum()) for name in before))
    assert moved[1] == pytest.approx(0.01 * moved[0], rel=0.05)


def test_the_share_of_wrong_answers_is_kept_in_a_snapshot(tasks: list[Task], feed: Feed) -> None:
    _, memory = _practice(tasks)
    for experience in feed(40, is_right=True):
        memory.note(experience)
    _, other = _practice(tasks)
    other.load_state(memory.state())
    assert (other.wrong == memory.wrong).all()
    assert other.wrong[0] < 1.0
    earlier = {name: array for name, array in memory.state().items() if name != "wrong"}
    other.load_state(earlier)
    assert (other.wrong == 1.0).all()
