from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.model_family import ModelFamily
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples, Task
from sage.hrm_core.tasks.orbits import orbit_keys
from sage.runtime.report import SleepOutcome, SleepReport
from sage.runtime.sleep.judge import Verdict
from sage.runtime.sleep.puzzles.examination import Answers, ExaminedLevel, judge
from sage.runtime.sleep.puzzles.family_trainer import FamilyTrainer
from sage.runtime.sleep.puzzles.night import NightPlan, PuzzleNight, why_diverged
from sage.runtime.sleep.puzzles.trainer import PuzzleTrainer
from sage.runtime.solving.learner import Offer
from tests.runtime.sleep.puzzles.conftest import NAMES, Feed, MakeTrainer


def _night(trainer: PuzzleTrainer, **options: Any) -> Offer:
    trainer.begin_night(1000, **options)
    while (offer := trainer.advance_night()) is None:
        pass
    return offer


@cache
def _drawn() -> tuple[Task, Examples, np.ndarray]:
    """4x4 sudokus, and the orbit of each."""
    task = make_task("sudoku", size=4)
    examples = task.sample(1500, np.random.default_rng(0))
    return task, examples, orbit_keys(task, examples.inputs)


def _of_orbits(num: int) -> tuple[Task, Examples]:
    """4x4 sudokus, none a symmetric form of another."""
    task, examples, keys = _drawn()
    return task, examples.take(np.sort(np.unique(keys, return_index=True)[1])[:num])


def _report(offer: Offer) -> SleepReport:
    assert offer.report is not None
    return offer.report


def _are_equal(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_night_that_helps_is_accepted_with_its_shares_by_level(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(600, night_steps=60, night_learning_rate=1e-2)
    before = trainer.weights()
    offer = _night(trainer)
    report = _report(offer)
    assert report.outcome is SleepOutcome.ACCEPTED
    assert report.stream == "puzzles"
    assert report.num_steps == 60
    (level,) = report.levels
    assert level.level == "sudoku 4x4"
    assert level.num == report.num_examined
    assert level.after > level.before + 0.3
    assert 0 < level.gain_low <= level.after - level.before <= level.gain_high
    assert report.gain == pytest.approx(report.loss_before - report.loss_after)
    assert not _are_equal(offer.weights, before)
    assert _are_equal(trainer.weights(), offer.weights)
    assert trainer.slept_at == trainer.memory.newest_examined_tick


def test_puzzles_that_reach_the_trainer_after_the_begin_of_a_night_are_new_for_the_next_one(
    make_trainer: MakeTrainer, feed: Feed
) -> None:
    """They were answered before it, and were in the mailbox."""
    trainer = make_trainer(200, night_steps=1)
    trainer.begin_night(1000)
    examined = trainer.memory.levels[0].examined
    num_examined = examined.count
    for experience in feed(200, first=200):  # ticks 200 to 399
        trainer.memory.note(experience)
    while trainer.advance_night() is None:
        pass
    assert examined.count > num_examined > 0
    is_new = examined.columns["tick"][: examined.count] > trainer.slept_at
    assert not is_new[:num_examined].any()
    assert is_new[num_examined:].all()


def test_a_model_that_solves_everything_gains_nothing_and_keeps_its_weights(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    trainer = make_trainer(300, shipped_weights, night_learning_rate=1e-6)
    offer = _night(trainer)
    assert _report(offer).outcome is SleepOutcome.UNDECIDED
    assert "not significantly different from 0" in _report(offer).reason
    assert _are_equal(offer.weights, shipped_weights)


def test_too_little_to_examine_is_no_night(make_trainer: MakeTrainer) -> None:
    offer = _night(make_trainer(300, min_examined=64, num_asked=0))
    assert _report(offer).outcome is SleepOutcome.SKIPPED
    assert "at least 64 are required" in _report(offer).reason
    assert _report(offer).num_steps == 0


def test_equal_nights_have_equal_candidates(make_trainer: MakeTrainer) -> None:
    settings: dict[str, Any] = {"night_steps": 8, "num_recent": 64}
    offers = [_night(make_trainer(200, **settings)) for _ in range(2)]
    assert _are_equal(offers[0].weights, offers[1].weights)
    assert _report(offers[0]).loss_after == _report(offers[1]).loss_after


@pytest.mark.parametrize("num_slices", [1, 3, 6, 9])
def test_a_night_cut_at_any_slice_leaves_the_waking_weights(
    make_trainer: MakeTrainer, num_slices: int
) -> None:
    trainer = make_trainer(200, night_steps=10)
    for _ in range(3):
        trainer.practise()
    before = trainer.weights()
    trainer.begin_night(5)
    for _ in range(num_slices):
        assert trainer.advance_night() is None
        assert _are_equal(trainer.weights(), before)
    trainer.abort_night()
    assert not trainer.is_sleeping
    assert _are_equal(trainer.weights(), before)
    assert trainer.practise()
    assert not _are_equal(trainer.weights(), before)


def _corrupt(trainer: PuzzleTrainer) -> None:
    replayed = trainer.memory.levels[0].replayed
    rows = slice(replayed.count)
    replayed.solutions[rows] = np.roll(replayed.solutions[rows], 1, axis=1)


def _is_rolled_back(offer: Offer, weights: dict[str, Tensor], name: str) -> None:
    report = _report(offer)
    assert report.outcome is SleepOutcome.ROLLED_BACK
    assert name in report.reason
    assert _are_equal(offer.weights, weights)


def test_wrong_labels_are_named(make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]) -> None:
    trainer = make_trainer(300, shipped_weights)
    _corrupt(trainer)
    _is_rolled_back(_night(trainer), shipped_weights, "wrong labels")


def test_wrong_labels_that_no_rule_checks_fail_the_examination(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    trainer = make_trainer(300, shipped_weights, checks_labels=False, night_steps=25)
    _corrupt(trainer)
    offer = _night(trainer)
    _is_rolled_back(offer, shipped_weights, "")
    assert _report(offer).loss_after > _report(offer).loss_before + 0.1


def test_a_learning_rate_a_hundred_times_too_large_is_rolled_back(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    trainer = make_trainer(300, shipped_weights, night_learning_rate=0.5, night_steps=15)
    _is_rolled_back(_night(trainer), shipped_weights, "worse")


def test_weights_that_are_not_numbers_are_rolled_back(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    def poison(candidate: ModelFamily) -> None:
        with torch.no_grad():
            next(candidate.parameters()).fill_(float("nan"))

    offer = _night(make_trainer(300, shipped_weights), on_step=poison)
    _is_rolled_back(offer, shipped_weights, "not finite")


def test_a_training_loss_that_rises_is_found() -> None:
    rising = [(0, 0.1 + 0.05 * step) for step in range(40)]
    assert why_diverged(rising) == "diverged: the training loss rose from 0.325 to 1.825"
    assert why_diverged(rising[:19]) == "", "too few steps"
    assert why_diverged([(0, 0.5)] * 40) == ""


def test_levels_with_other_losses_are_not_a_loss_that_rises() -> None:
    """The steps of a night come to an easy level first by chance, and end with those of a hard one."""
    losses = [(0, 0.05)] * 8 + [(1, 0.9)] * 4 + [(0, 0.04)] * 8 + [(1, 0.8)] * 10
    assert why_diverged(losses) == ""
    assert "from 0.900 to 2.000" in why_diverged([*losses[:20], *[(1, 2.0)] * 10])
    assert why_diverged([*losses, *[(2, 5.0)] * 10]) == "", "a level that had no step before"


def test_a_step_that_was_not_taken_is_not_a_loss_that_rises() -> None:
    losses = [(0, 0.5)] * 40
    losses[3] = losses[-2] = (0, float("nan"))
    assert why_diverged(losses) == ""


def test_a_diet_of_dreams_alone_is_rolled_back(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    trainer = make_trainer(300, shipped_weights, dream_share=1.0, dream_weight=1.0)
    replayed = trainer.memory.levels[0].replayed
    trainer.memory.levels[0].replayed.columns["provenance"][: replayed.count] = 4
    _is_rolled_back(_night(trainer), shipped_weights, "synthetic diet")


def test_a_collapsed_candidate_is_rolled_back(
    make_trainer: MakeTrainer, shipped_weights: dict[str, Tensor]
) -> None:
    def flatten(candidate: ModelFamily) -> None:
        with torch.no_grad():
            candidate.weights()["inner.embed_tokens.embedding_weight"].zero_()

    trainer = make_trainer(300, shipped_weights, night_steps=3, ema_decay=0.0, night_learning_rate=1e-7)
    _is_rolled_back(_night(trainer, on_step=flatten), shipped_weights, "collapsed: sudoku 4x4")


def test_a_loss_on_old_puzzles_is_rolled_back(make_trainer: MakeTrainer, feed: Feed) -> None:
    task, examples = _of_orbits(200)
    level = ExaminedLevel(name="4x4", task=task, examples=examples, is_new=np.arange(200) < 100)
    before, after = np.ones(200, bool), np.ones(200, bool)
    before[:60] = False
    after[100:104] = False
    answers = [[Answers(cells=examples.labels, is_solved=each)] for each in (before, after)]
    verdict = judge([level], answers[0], answers[1], 0)
    assert verdict.outcome is SleepOutcome.ROLLED_BACK
    assert "worse on old puzzles: 100.0% solved, then 96.0%" in verdict.reason
    assert verdict.gain == pytest.approx(0.6)


@pytest.mark.parametrize(("num_gained", "outcome"), [(4, SleepOutcome.UNDECIDED), (5, SleepOutcome.ACCEPTED)])
def test_a_few_gains_without_a_loss_decide_nothing(num_gained: int, outcome: SleepOutcome) -> None:
    """Four of four differing puzzles are gains by chance in one night of sixteen."""
    task, examples = _of_orbits(200)
    level = ExaminedLevel(name="4x4", task=task, examples=examples, is_new=np.ones(200, bool))
    before, after = np.ones(200, bool), np.ones(200, bool)
    before[:num_gained] = False
    one, other = ([Answers(cells=examples.labels, is_solved=each)] for each in (before, after))
    gained, lost = judge([level], one, other, 0), judge([level], other, one, 0)
    assert gained.outcome is outcome
    assert (lost.outcome is SleepOutcome.ROLLED_BACK) == (outcome is SleepOutcome.ACCEPTED)
    if outcome is SleepOutcome.UNDECIDED:
        assert "not significantly different from 0 by a sign test: gain +2.0 points" in gained.reason


def _judged(*changes: tuple[int, int, int]) -> Verdict:
    """Of levels with so many gained, lost and other puzzles, all new."""
    levels, before, after = [], [], []
    for at, (gained, lost, others) in enumerate(changes):
        task, examples = _of_orbits(gained + lost + others)
        assert len(examples) == gained + lost + others
        index = np.arange(len(examples))
        name = f"level {at}"
        levels.append(
            ExaminedLevel(name=name, task=task, examples=examples, is_new=np.ones(len(index), bool))
        )
        before.append(Answers(cells=examples.labels, is_solved=index >= gained))
        after.append(Answers(cells=examples.labels, is_solved=(index < gained) | (index >= gained + lost)))
    return judge(levels, before, after, 0)


def test_the_gain_of_one_level_is_not_hidden_by_the_noise_of_another() -> None:
    verdict = _judged((14, 3, 260), (28, 30, 200))
    assert verdict.gain_low < 0 < verdict.gain
    assert verdict.outcome is SleepOutcome.ACCEPTED
    assert verdict.reason.startswith("level 0: gain +4.0 points, 90% interval")
    assert "; of all levels gain +1.7 points, 90% interval" in verdict.reason


def test_the_gain_of_one_level_does_not_outweigh_what_another_loses() -> None:
    assert _judged((14, 3, 260), (20, 40, 200)).outcome is SleepOutcome.ROLLED_BACK
    unsure = _judged((14, 3, 260), (30, 42, 200))
    assert unsure.gain < 0
    assert unsure.outcome is SleepOutcome.UNDECIDED


def _answers(examples: Examples, is_solved: np.ndarray) -> list[Answers]:
    return [Answers(cells=examples.labels, is_solved=is_solved)]


def test_an_orbit_that_is_solved_counts_once_however_many_of_its_puzzles_are_there() -> None:
    """The model of sudokus solves all symmetric forms of a puzzle or none."""
    task, examples, keys = _drawn()
    orbits, counts = np.unique(keys, return_counts=True)
    is_gained = keys == orbits[counts.argmax()]
    assert is_gained.sum() >= 6
    level = ExaminedLevel(name="4x4", task=task, examples=examples, is_new=np.ones(len(keys), bool))
    rest, whole = _answers(examples, ~is_gained), _answers(examples, np.ones(len(keys), bool))
    assert judge([level], rest, whole, 0).outcome is SleepOutcome.UNDECIDED
    assert judge([level], whole, rest, 0).outcome is SleepOutcome.UNDECIDED
    most = np.isin(keys, orbits[np.argsort(counts)[-6:]])
    verdict = judge([level], _answers(examples, ~most), whole, 0)
    assert verdict.outcome is SleepOutcome.ACCEPTED
    assert verdict.gain == pytest.approx(most.mean())


def test_an_old_orbit_that_is_lost_counts_once() -> None:
    task, examples, keys = _drawn()
    rows = np.flatnonzero(keys == np.unique(keys)[np.unique(keys, return_counts=True)[1].argmax()])
    others = np.flatnonzero(~np.isin(keys, keys[rows]))[:80]
    examples = examples.take(np.concatenate([others, rows]))
    is_new, num = np.arange(len(examples)) < 40, len(examples)
    level = ExaminedLevel(name="4x4", task=task, examples=examples, is_new=is_new)
    after = np.arange(num) < len(others)
    verdict = judge([level], _answers(examples, np.ones(num, bool)), _answers(examples, after), 0)
    assert verdict.outcome is SleepOutcome.UNDECIDED


def test_search_finds_solutions_that_no_teacher_showed(
    make_trainer: MakeTrainer, feed: Feed, shipped_weights: dict[str, Tensor]
) -> None:
    trainer = make_trainer(0, shipped_weights, night_calls=8, night_steps=2, min_examined=1)
    for experience in feed(60, solution=None):
        trainer.memory.note(experience)
    level = trainer.memory.levels[0]
    num = level.unsolved.count
    report = _report(_night(trainer))
    assert report.num_steps == 2
    assert level.unsolved.count <= num // 10
    assert level.replayed.count >= num * 9 // 10
    rows = slice(level.replayed.count)
    solved = trainer.tasks[0].verify(level.replayed.cells[rows], level.replayed.solutions[rows])
    assert solved.all()


def test_the_h_net_alone_needs_a_net_of_its_own(make_trainer: MakeTrainer) -> None:
    with pytest.raises(InputError, match="learns is high: the model's L net is its H net"):
        make_trainer(0, night_learns="high")


def test_a_night_asks_for_held_out_puzzles_where_its_memory_has_few(make_trainer: MakeTrainer) -> None:
    report = _report(_night(make_trainer(300, min_examined=64, num_asked=64, night_steps=2)))
    assert report.outcome is not SleepOutcome.SKIPPED
    assert report.num_examined >= 64


def test_the_learning_rate_of_a_night_falls_to_its_end_within_a_limit_of_cpu_time(
    tasks: list[Task], make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of about 2 s a step: about 20 steps, though night_steps is far away."""
    ends: list[int] = []
    monkeypatch.setattr(FamilyTrainer, "end_at", lambda self, num_steps: ends.append(num_steps))
    trainer = make_trainer(400, night_steps=1000, night_cpu_secs=39.5)
    plan = NightPlan(stream="puzzles", names=NAMES[:1], config=trainer._config, seed=0, tick=1)
    ticks = itertools.count()
    family = ModelFamily(trainer.configs)
    PuzzleNight(tasks[:1], family, trainer.memory, plan, clock=lambda: float(next(ticks))).run()
    assert ends[0] == 1000
    assert 15 <= len(ends) <= 25
    assert all(abs(end - len(ends)) <= 2 for end in ends[5:])


def test_an_undecided_night_is_judged_once_more_on_more_puzzles_of_the_levels_that_are_not_solved(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[int]] = []

    def undecided(levels: Any, before: Any, after: Any, seed: int, *, num_looks: int) -> Verdict:
        looks.append([len(each) for each in levels])
        assert [len(each.cells) for each in before] == [len(each.cells) for each in after] == looks[-1]
        assert num_looks == 2
        return Verdict(outcome=SleepOutcome.UNDECIDED, reason="patched")

    monkeypatch.setattr("sage.runtime.sleep.puzzles.night.judge", undecided)
    settings: dict[str, Any] = {"night_steps": 1, "num_asked": 8, "max_asked": 30}
    report = _report(_night(make_trainer(100, **settings)))
    first = looks[0][0]
    assert looks == [[first], [first + 22]], "8 of the task's, then 30"
    assert report.num_examined == first + 22


def test_where_every_puzzle_is_solved_before_and_after_no_more_are_asked(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solved(model: Any, task: Task, examples: Examples) -> Iterator[Answers]:
        yield Answers(cells=examples.inputs, is_solved=np.ones(len(examples), bool))

    monkeypatch.setattr("sage.runtime.sleep.puzzles.night.answers_of", solved)
    trainer = make_trainer(100, night_steps=1, num_asked=8, max_asked=30)
    num = trainer.memory.levels[0].examined.count
    report = _report(_night(trainer))
    assert report.outcome is SleepOutcome.UNDECIDED
    assert report.num_examined == num + 8
