"""Between two ticks: only an accepted night changes the weights, and no practice runs during a night."""

from __future__ import annotations

import copy

import pytest
import torch

from sage.runtime.config import SleepConfig
from sage.runtime.guards_config import GuardsConfig
from sage.runtime.report import SleepOutcome, SleepReport, State
from sage.runtime.scheduling.ledger import MICRO
from sage.runtime.sleep.between_ticks import gather_night
from sage.runtime.sleep.guards import Guards, NoLimits
from sage.runtime.sleep.sleeper import EndedNight

OUTCOMES = [outcome for outcome in SleepOutcome if outcome is not SleepOutcome.ACCEPTED]


def report(outcome: SleepOutcome) -> SleepReport:
    return SleepReport(
        outcome=outcome, reason="as given", tick=1, num_replayed=1, num_examined=1, num_steps=1
    )


@pytest.fixture
def loop(start, settings):
    loop = start(settings(practice={"every_ticks": 1, "batch_size": 2})).loop
    loop.run(num_ticks=60)
    return loop


def weights(loop) -> dict[str, torch.Tensor]:
    return copy.deepcopy(loop.reasoner.model.state_dict())


def are_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_night_that_is_not_better_changes_nothing(loop, outcome: SleepOutcome):
    before, carry, resets = weights(loop), loop.reasoner.carry, loop.reasoner.num_resets
    loop.between_ticks._end_night(EndedNight(report=report(outcome), candidate=None))
    assert are_equal(before, weights(loop))
    assert loop.reasoner.carry is carry
    assert (loop.reasoner.num_resets, loop.between_ticks.weights_version) == (resets, 0)


def test_accepted_weights_are_loaded_and_the_carry_is_rebuilt(loop):
    candidate = copy.deepcopy(loop.reasoner.model)
    for weight in candidate.parameters():
        weight.data.mul_(1.01)
    loop.between_ticks._end_night(EndedNight(report=report(SleepOutcome.ACCEPTED), candidate=candidate))
    assert are_equal(candidate.state_dict(), weights(loop))
    assert loop.between_ticks.weights_version == 1
    initial = loop.reasoner.model.initial_carry(1, torch.device("cpu"))
    assert not torch.equal(loop.reasoner.carry.z_H, initial.z_H)
    assert loop.memory_writer.transitions.latest(16) is None, "no window spans a swap"


def test_what_an_accepted_night_has_examined_is_old_on_the_disk_once_its_weights_are(loop):
    """After a kill between the two the windows were old, by a night whose weights were lost."""
    changes = []
    loop.memory_writer.memory.recorder = lambda change: changes.append(change.slot)
    candidate = copy.deepcopy(loop.reasoner.model)
    loop.between_ticks._end_night(EndedNight(report=report(SleepOutcome.ACCEPTED), candidate=candidate))
    assert changes == []
    assert loop.memory_writer.memory.examination.num_new == 0
    loop.between_ticks._end_night(EndedNight(report=report(SleepOutcome.UNDECIDED), candidate=None))
    assert changes == [-1]


def test_there_is_no_practice_during_a_night(loop, monkeypatch: pytest.MonkeyPatch):
    sleeper = loop.between_ticks.sleeper
    monkeypatch.setattr(type(sleeper), "is_sleeping", property(lambda self: True))
    before, num_steps = weights(loop), loop.between_ticks.practice.num_steps
    loop.run(num_ticks=20)
    assert loop.between_ticks.state is State.DREAM
    assert loop.between_ticks.practice.num_steps == num_steps
    assert are_equal(before, weights(loop))
    monkeypatch.undo()
    loop.run(num_ticks=20)
    assert loop.between_ticks.practice.num_steps > num_steps


def test_a_stop_of_every_effector_is_a_crisis_until_they_are_released(loop):
    ticks, gate = loop.between_ticks, loop.effector_gate
    gate.stop("the last session did not end cleanly", spares=("cognitive",))
    loop.run(num_ticks=2)
    assert ticks.state is State.WAKE, "after a crash learning goes on"
    gate.stop("estop: smoke")
    loop.run(num_ticks=4)
    assert ticks.state is State.CRISIS
    assert ticks.ask_night() == "a crisis holds the loop: end its cause first"
    num_steps = ticks.practice.num_steps
    loop.run(num_ticks=10)
    assert ticks.practice.num_steps == num_steps
    assert gate.release(gate.num_stops)
    loop.run(num_ticks=200)
    assert ticks.state in (State.REST, State.WAKE)
    assert ticks.practice.num_steps > num_steps


def test_a_night_in_progress_is_not_a_missing_one(loop, monkeypatch: pytest.MonkeyPatch):
    ticks, events, later_ns = loop.between_ticks, [], 10**15
    ticks._config = ticks._config.model_copy(update={"sleep": SleepConfig(every_secs=100)})
    monkeypatch.setattr(ticks, "_emit", lambda kind, message: events.append(kind))
    with monkeypatch.context() as patched:
        patched.setattr(type(ticks.sleeper), "is_sleeping", property(lambda self: True))
        ticks._watch(later_ns)
    assert events == []
    ticks._watch(later_ns)
    assert events == ["alarm"]


class Recorder:
    """An instrument that records each tick's state and every sleep report."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.outcomes: list[SleepOutcome] = []

    def on_tick(self, report) -> None:
        self.states.append(report.facts.state)

    def on_sleep(self, report) -> None:
        self.outcomes.append(report.outcome)

    def on_event(self, event) -> None: ...


SLEEP = {"first_after_secs": 2, "every_secs": 100, "examined_fraction": 0.3, "block_secs": 1}


@pytest.mark.parametrize("first_after_secs", [0.1, 6.0], ids=["no window", "too few readings"])
def test_a_skipped_night_is_not_a_dream(start, settings, first_after_secs: float):
    recorder = Recorder()
    sleep = SLEEP | {"first_after_secs": first_after_secs, "min_examined": 100_000}
    loop = start(settings(practice={"window_ticks": 8}, sleep=sleep), instruments=(recorder,)).loop
    loop.run(num_ticks=int(first_after_secs * 20) + 10)
    assert recorder.outcomes
    assert set(recorder.outcomes) == {SleepOutcome.SKIPPED}
    assert State.DREAM not in recorder.states


def test_a_skipped_night_leaves_the_examined_windows_new(start, settings):
    sleep = SLEEP | {"first_after_secs": 6, "min_examined": 100_000}
    loop = start(settings(practice={"window_ticks": 8}, sleep=sleep)).loop
    loop.run(num_ticks=200)
    night = gather_night(loop.memory_writer.memory, loop.reasoner.model)
    assert night is not None
    assert night.is_new.all()


def test_windows_that_come_during_a_night_are_new_for_the_next_one(
    start, settings, monkeypatch: pytest.MonkeyPatch
):
    sleep = SLEEP | {"first_after_secs": 15, "min_examined": 1, "num_steps": 1}
    memory = {"num_experiences": 640, "num_recall": 64, "num_transitions": 256}
    loop = start(settings(practice={"window_ticks": 8}, sleep=sleep, memory=memory)).loop
    ticks, sleeper = loop.between_ticks, loop.between_ticks.sleeper
    with monkeypatch.context() as patched:  # the night lasts
        patched.setattr(type(sleeper), "collect", lambda self, now_ns: None)
        loop.run(num_ticks=310)
        assert ticks.is_asleep
        examination = loop.memory_writer.memory.examination
        num_then = len(examination)
        loop.run(num_ticks=100)
        num_later = len(examination) - num_then
        assert num_later > 0
    loop.run(num_ticks=1)
    assert not ticks.is_asleep
    assert examination.num_new >= num_later
    assert len(examination) > examination.num_new


def test_a_night_that_takes_place_is_a_dream(start, settings):
    recorder = Recorder()
    sleep = SLEEP | {"first_after_secs": 15, "min_examined": 1, "num_steps": 2}
    costs = dict.fromkeys(("tick", "source", "segment", "practice_step", "action", "recall"), 0.0)
    energy = {"enabled": True, "supply": 10, "costs": costs | {"night_step": 2.0}, "recharge_per_sec": 0}
    practice = {"window_ticks": 8}
    loop = start(settings(practice=practice, sleep=sleep, energy=energy), instruments=(recorder,)).loop
    loop.run(num_ticks=400)
    assert len(recorder.outcomes) == 1
    assert recorder.outcomes[0] is not SleepOutcome.SKIPPED
    assert State.DREAM in recorder.states
    ledger = loop.between_ticks.allowance.energy.ledger
    assert (ledger.spent, ledger.allocated) == (4 * MICRO, 0)


def test_a_night_that_is_not_affordable_is_skipped_and_one_in_progress_is_set_aside(start, settings):
    energy = {"enabled": True, "supply": 100, "reserve": 0, "costs": {"night_step": 2.0}}
    loop = start(settings(sleep={"num_steps": 40}, energy=energy)).loop
    allowance = loop.between_ticks.allowance
    assert not allowance.begin_night(51)
    assert allowance.begin_night(50)
    saved = allowance.state()
    assert int(saved["available"]) == 100 * MICRO, "a restart has no night in progress"
    allowance.note_night(10)
    allowance.end_night()
    allowance.end_night()
    assert allowance.energy.ledger.spent == 20 * MICRO
    assert allowance.energy.ledger.available == 80 * MICRO

    assert loop.between_ticks.ask_night() == ""
    allowance.energy.charge("night_step", 1)
    events = []
    loop.between_ticks._emit = lambda kind, message: events.append((kind, message))
    loop.run(num_ticks=2)
    assert ("sleep", "skipped: energy: too little for 40 steps") in events


def test_the_event_of_a_guard_is_repeated_each_hour_and_ends(loop, monkeypatch: pytest.MonkeyPatch):
    between, events = loop.between_ticks, []
    reason = {"now": "free disk: 900 bytes, at least 1,000 bytes wanted"}
    monkeypatch.setattr(between, "_emit", lambda kind, message: events.append((kind, message)))
    monkeypatch.setattr(between, "_stopped", lambda: reason["now"])
    hour_ns = 3600 * 10**9
    for now_ns in (hour_ns, hour_ns + 1, 2 * hour_ns - 1):
        between._watch(now_ns)
    assert events == [("guard", reason["now"])]
    reason["now"] = "free disk: 700 bytes, at least 1,000 bytes wanted"
    between._watch(2 * hour_ns)
    assert events[1:] == [("guard", reason["now"])]
    assert between.held == reason["now"]
    reason["now"] = ""
    for now_ns in (3 * hour_ns, 9 * hour_ns):
        between._watch(now_ns)
    assert events[2:] == [("guard", "over")]
    assert between.held == ""


def test_a_budget_that_shrinks_is_an_event_at_both_ends(loop, tmp_path, monkeypatch: pytest.MonkeyPatch):
    between, events, watts = loop.between_ticks, [], {"now": 20.0}

    class Board(NoLimits):
        def watts(self) -> float:
            return watts["now"]

    between._guards = Guards(GuardsConfig(max_watts=15.0, every_secs=1.0), tmp_path, Board())
    monkeypatch.setattr(between, "_emit", lambda kind, message: events.append((kind, message)))
    between._watch(0)
    between._watch(10**9)
    assert events == [("budget", "shrinks: power: 20 W, at most 15 W wanted")]
    assert (between.allowance.share, between.shrunk) == (0.0, "power: 20 W, at most 15 W wanted")
    watts["now"] = 5.0
    for second in range(2, 60):
        between._watch(second * 10**9)
    assert events[1:] == [("budget", "whole again")]
    assert (between.allowance.share, between.shrunk) == (1.0, "")
