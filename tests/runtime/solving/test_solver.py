"""A puzzle stream in the loop: carries across ticks, policy, a lying teacher, weights on offer, nights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sage.errors import InputError
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.model_family import weights_digest
from sage.hrm_core.solving.published import load_published
from sage.hrm_core.solving.settings import SolveSettings
from sage.hrm_core.solving.solver import Solver
from sage.hrm_core.tasks.catalogue import make_task
from sage.runtime.config import PolicyRule, SolvingConfig
from sage.runtime.report import SleepOutcome, SleepReport, State
from sage.runtime.solving import examine as examining
from sage.runtime.solving import weights
from sage.runtime.solving.examine import BATCH, examine
from sage.runtime.solving.learner import Offer, SolutionSource
from sage.runtime.solving.stream import StreamLevel
from sage.runtime.solving.under_way import LevelRows, settings_of
from sage.runtime.tick.effector_gate import EffectorGate
from sage.sensors.puzzle_messages import Puzzle

SOLVES = SolvingConfig(weights="sudoku4")
DENIED = PolicyRule(decision="deny", effect="cognitive", states=("wake", "focus", "rest", "dream"))


def weights_of(life, change=lambda tensor: tensor):
    return {name: change(tensor.clone()) for name, tensor in life.solver.family.weights().items()}


def offer(weights, *, report=None, kind="practice"):
    return Offer(weights=weights, kind=kind, num_steps=1, loss=0.5, report=report)


def events(life, kind):
    return [event.message for event in life.recorder.events if event.kind == kind]


def test_a_puzzle_gets_its_segments_over_several_ticks_and_the_answer_that_it_gets_alone(live):
    life = live(SolvingConfig(weights="sudoku4", segments=2, rows=1), window=1)
    life.loop.run(num_ticks=40)
    model, several = load_published("sudoku4").model, 0
    for experience in life.learner.experiences:
        alone = Solver(model).solve(experience.cells[None], SolveSettings())[0]
        np.testing.assert_array_equal(experience.answer, alone.cells)
        assert experience.num_segments == alone.num_segments
        several += alone.num_segments > 1
    assert several > 0
    assert all(facts.num_segments <= 1 for facts in life.recorder.solving)


def test_a_tick_computes_no_more_segments_than_its_budget(live):
    life = live(SolvingConfig(weights="sudoku4", segments=9, rows=4))
    life.loop.run(num_ticks=20)
    spent = [
        report.facts.num_segments + report.facts.solving[0].num_segments for report in life.recorder.ticks
    ]
    assert max(spent) <= 9
    assert sum(facts.num_segments for facts in life.recorder.solving) > 100


def test_right_answers_are_counted_and_learned_from_as_verified(live):
    life = live()
    life.loop.run(num_ticks=20)
    level, answers = life.recorder.solving[-1].levels[0], life.recorder.answers
    assert level.num_answered == len(answers) == len(life.learner.experiences) > 50
    assert level.num_right == sum(answer.is_right for answer in answers)
    assert level.recent > 0.9
    assert life.recorder.solving[0].level == 0
    right = [each for each in life.learner.experiences if each.is_right]
    assert {each.source for each in right} == {SolutionSource.VERIFIED}
    assert all((each.solution == each.answer).all() for each in right)


def test_experiences_that_are_not_written_are_an_event(live):
    life = live()
    for problem in ("", "no space", "no space", ""):
        life.learner.problem = problem
        life.loop.run(num_ticks=2)
    found = [event.message for event in life.recorder.events if event.kind == "storage"]
    assert [text.split(": ", 1)[1] for text in found] == [
        "experiences are not written: no space",
        "experiences are written again",
    ]


def test_fresh_weights_answer_at_the_budget_and_learn_from_the_teacher(live):
    life = live(SolvingConfig(max_segments=3))
    life.loop.run(num_ticks=20)
    wrong = [each for each in life.learner.experiences if not each.is_right]
    assert wrong
    assert {each.source for each in wrong} == {SolutionSource.TEACHER}
    assert {each.num_segments for each in wrong} == {3}
    assert life.recorder.answers[0].num_open[0] == 16
    assert {each.ending for each in life.recorder.answers} <= {"budget", "halted"}
    facts = life.recorder.solving[-1]
    assert np.isnan(life.recorder.solving[0].solver_trust)
    assert 0 < facts.solver_trust < 0.9
    counts = life.solver.record.endings.counts
    assert sum(counts.values()) == facts.levels[0].num_answered


def test_a_stream_without_a_teacher_gives_no_solutions_of_wrong_answers(live):
    life = live(SolvingConfig(max_segments=2), teacher="never")
    life.loop.run(num_ticks=12)
    wrong = [each for each in life.learner.experiences if not each.is_right]
    assert {each.source for each in wrong} == {SolutionSource.NONE}
    assert np.isnan(life.recorder.solving[-1].teacher_trust)


def test_lies_reach_the_learner_where_labels_are_not_checked(live):
    life = live(SolvingConfig(max_segments=2), teacher={"lying": 0.5}, checks_labels=False)
    life.loop.run(num_ticks=200)
    taught = [each for each in life.learner.experiences if each.source is SolutionSource.TEACHER]
    rules = life.solver.levels[0].task
    is_true = [bool(rules.verify(each.cells[None], each.solution[None])[0]) for each in taught]
    assert 0 < sum(is_true) < len(is_true)


def test_lies_lower_the_trust_in_the_teacher_and_reach_no_learner(live):
    life = live(SolvingConfig(max_segments=2), teacher={"lying": 0.5})
    life.loop.run(num_ticks=30)
    task = make_task("sudoku", size=4)
    record = life.solver.record
    assert record.teacher.num_refused > 5
    assert 0.2 < life.recorder.solving[-1].teacher_trust < 0.8
    shown = [each for each in life.learner.experiences if each.solution is not None]
    assert shown
    for each in shown:
        assert task.verify(each.cells[None], each.solution[None])[0]
    assert {each.source for each in life.learner.experiences} >= {SolutionSource.NONE, SolutionSource.TEACHER}


def test_without_a_rule_answers_are_held_and_that_is_a_fact(live):
    life = live(rules=(DENIED,))
    life.loop.run(num_ticks=12)
    assert life.learner.experiences == []
    denied = [action for report in life.recorder.ticks for action in report.facts.actions]
    assert denied
    assert {action.decision for action in denied} == {"deny"}
    assert all(action.is_held and action.effector == "riddles.answer" for action in denied)
    assert events(life, "held") == ["answers are held: denied by rule cognitive/*"]
    assert life.recorder.solving[-1].num_under_way == 8


def test_held_answers_are_given_when_the_policy_allows_them(live):
    only_dreaming = PolicyRule(decision="allow", effect="cognitive", states=("dream",))
    life = live(rules=(only_dreaming,), sections={"sleep": {"enabled": True, "first_after_secs": 0.5}})
    life.loop.run(num_ticks=10)
    assert life.learner.experiences == []
    life.loop.run(num_ticks=8)
    assert life.loop.between_ticks.state is State.DREAM
    assert len(life.learner.experiences) > 8


def test_better_weights_are_taken_between_ticks_and_restart_the_puzzles_under_way(live):
    life = live(SolvingConfig(segments=3, rows=2))
    life.loop.run(num_ticks=3)
    assert life.recorder.solving[-1].num_under_way > 0
    trained = load_published("sudoku4").model.state_dict()
    life.learner.offers.append(offer(trained))
    while life.solver.num_swapped == 0 and life.loop.tick_count < 40:
        life.loop.run(num_ticks=1)
    assert life.solver.num_swapped == 1
    assert all(torch.equal(tensor, trained[name]) for name, tensor in life.solver.family.weights().items())
    life.loop.run(num_ticks=30)
    assert any(answer.weights_changed for answer in life.recorder.answers)
    assert life.recorder.answers[-1].is_right
    assert life.recorder.solving[-1].num_swapped == 1


def test_the_weights_in_use_are_taken_without_a_start_anew(live):
    """A night that is skipped, or undecided, offers those of before it."""
    life = live(SolvingConfig(segments=3, rows=2))
    life.loop.run(num_ticks=3)
    report = SleepReport(
        outcome=SleepOutcome.SKIPPED, reason="too little", tick=3, num_replayed=0, num_examined=0,
        num_steps=0, stream="riddles",
    )  # fmt: skip
    life.learner.offers.append(offer(weights_of(life), report=report, kind="night"))
    life.loop.run(num_ticks=30)
    assert [each for each in life.recorder.sleeps if each.stream] == [report]
    facts = life.recorder.solving[-1]
    assert (facts.num_swapped, facts.num_refused) == (0, 0)
    assert life.recorder.answers
    assert not any(answer.weights_changed for answer in life.recorder.answers)


def test_new_weights_at_every_tick_do_not_keep_a_puzzle_for_ever(live):
    life = live(SolvingConfig(segments=2, rows=1, max_segments=8), window=1)
    weights = weights_of(life)
    for _ in range(80):
        life.loop.run(num_ticks=2)
        life.solver.adopt(weights)
    assert life.recorder.answers
    assert max(answer.num_segments for answer in life.recorder.answers) <= 4 * 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensor: tensor * float("nan"), "not finite"),
        (torch.zeros_like, "% of the open cells"),
    ],
)
def test_weights_that_are_not_finite_or_worse_are_refused(live, change, reason):
    life = live()
    life.loop.run(num_ticks=3)
    before = weights_of(life)
    life.learner.offers.append(offer(weights_of(life, change)))
    life.loop.run(num_ticks=20)
    assert life.recorder.solving[-1].num_refused == 1
    assert life.recorder.solving[-1].num_swapped == 0
    assert reason in events(life, "weights")[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in life.solver.family.weights().items())


def test_weights_of_another_model_are_refused(live):
    life = live()
    life.learner.offers.append(offer({"other": torch.zeros(3)}))
    life.loop.run(num_ticks=3)
    assert life.recorder.solving[-1].num_refused == 1
    assert "missing" in events(life, "weights")[0]


def test_a_night_of_the_learner_is_a_dream_until_its_report(live):
    life = live(sections={"sleep": {"enabled": True, "first_after_secs": 0.3}})
    life.loop.run(num_ticks=8)
    assert len(life.learner.nights) == 1
    assert life.recorder.ticks[-1].facts.state is State.DREAM
    assert life.recorder.solving[-1].is_sleeping
    report = SleepReport(
        outcome=SleepOutcome.ACCEPTED, reason="better", tick=5, num_replayed=9, num_examined=9, num_steps=9,
        stream="riddles",
    )  # fmt: skip
    life.learner.offers.append(offer(weights_of(life), report=report, kind="night"))
    life.loop.run(num_ticks=2)
    assert [each for each in life.recorder.sleeps if each.stream] == [report]
    assert "riddles: accepted: better" in events(life, "sleep")
    assert life.recorder.ticks[-1].facts.state is not State.DREAM


def test_a_deadline_gives_the_best_answer_so_far(live):
    life = live(SolvingConfig(segments=2, rows=1, max_segments=100, deadline_secs=0.3), window=3)
    life.loop.run(num_ticks=30)
    ages = [answer.age_ticks for answer in life.recorder.answers]
    assert ages
    assert max(ages) <= 8
    assert any(answer.is_abstained for answer in life.recorder.answers)
    assert any(not answer.is_abstained for answer in life.recorder.answers)


def test_a_stream_moves_up_and_every_level_is_solved_with_one_set_of_weights(live):
    life = live(levels=({"size": 4}, {"size": 6}))
    life.loop.run(num_ticks=60)
    facts = life.recorder.solving[-1]
    assert facts.level == 1
    assert facts.levels[1].num_answered > 0
    assert events(life, "level") == ["up to 6x6"]


def test_the_rules_are_asked_where_the_config_allows_it(live):
    life = live(SolvingConfig(max_segments=1, segments=40, rows=4, asks_rules=True, search=6), window=1)
    life.loop.run(num_ticks=6)
    answers = life.recorder.answers
    assert any(1 < answer.num_calls <= 6 for answer in answers)
    with pytest.raises(InputError, match="asks_rules"):
        settings_of(SolvingConfig(search=4), 0)


def test_only_the_levels_that_are_named_are_searched(live):
    section = SolvingConfig(
        max_segments=1, segments=40, rows=4, asks_rules=True, search=6, search_levels=("6x6",)
    )
    life = live(section, levels=({"size": 4}, {"size": 6}), first_level=1)
    life.loop.run(num_ticks=20)
    calls = {
        level: {
            each.num_calls > 1 for each in life.recorder.answers if each.level == level and not each.is_right
        }
        for level in (0, 1)
    }
    assert calls == {0: {False}, 1: {True}}


def test_a_search_makes_the_batches_of_held_out_puzzles_smaller(live, monkeypatch):
    section = SolvingConfig(max_segments=16, asks_rules=True, search=16)
    life = live(section)
    for config, num in ((section, BATCH * 16 // (16 + 16 * 6)), (SolvingConfig(), BATCH)):
        seconds = iter((0.0, 1.0, 9.0))
        monkeypatch.setattr(
            examining, "time", SimpleNamespace(monotonic=lambda seconds=seconds: next(seconds))
        )
        assert examine(life.solver, 0, config, num=100, limit_secs=5.0)[0] == num


def test_equal_runs_have_equal_digests(live):
    def digests():
        life = live(SolvingConfig(segments=5, rows=2), levels=({"size": 4}, {"size": 6}))
        life.learner.offers.append(offer(load_published("sudoku4").model.state_dict()))
        life.loop.run(num_ticks=40)
        assert life.solver.num_swapped == 1
        return [report.facts.digest() for report in life.recorder.ticks]

    assert digests() == digests()


def test_the_learner_gets_the_first_weights_and_is_closed_with_the_loop(live):
    life = live()
    assert all(
        torch.equal(tensor, life.learner.opened[name])
        for name, tensor in life.solver.family.weights().items()
    )
    life.loop.close()
    assert life.learner.is_closed
    assert weights_digest(life.learner.closed) == weights_digest(life.solver.family.weights())


def test_a_puzzle_that_does_not_fit_its_level_is_refused():
    task = make_task("sudoku", size=4)
    rows = LevelRows(load_published("sudoku4").model, task, SOLVES, 0)
    with pytest.raises(InputError, match="shape"):
        rows.add(Puzzle(number=0, level=0, cells=np.ones(9, np.int32)), 1, None)
    assert len(rows) == 0


def test_what_a_tick_computes_with_is_compiled_before_any_device_is_opened(live, monkeypatch):
    calls = []
    monkeypatch.setattr(weights, "compile_loops", lambda task, examples: calls.append(task.spec.seq_len))
    monkeypatch.setattr(HRM, "compile_loops", lambda self: calls.append(self.config.front.seq_len))
    monkeypatch.setattr(EffectorGate, "open", lambda self: calls.append("open"))
    live(SolvingConfig(), levels=({"size": 4}, {"size": 6}))
    assert calls == [16, 16, 36, 36, "open"]


def test_generators_are_compiled_before_any_device_is_opened(live, monkeypatch):
    calls = []
    monkeypatch.setattr(StreamLevel, "examples", lambda self, num: calls.append("draw"))
    monkeypatch.setattr(EffectorGate, "open", lambda self: calls.append("open"))
    live()
    assert calls == ["draw", "open"]
