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
