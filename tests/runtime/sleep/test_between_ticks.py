"""Between two ticks: a night that is not better changes nothing, and while it lasts nothing is practised."""

from __future__ import annotations

import copy

import pytest
import torch

from sage.runtime.report import SleepOutcome, SleepReport, State
from sage.runtime.sleep.sleeper import EndedNight

OUTCOMES = [outcome for outcome in SleepOutcome if outcome is not SleepOutcome.ACCEPTED]


def report(outcome: SleepOutcome) -> SleepReport:
    return SleepReport(outcome=outcome, reason="as told", tick=1, num_replayed=1, num_examined=1, num_steps=1)


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


def test_an_accepted_night_is_swapped_in_and_its_carry_rebuilt(loop):
    candidate = copy.deepcopy(loop.reasoner.model)
    for weight in candidate.parameters():
        weight.data.mul_(1.01)
    loop.between_ticks._end_night(EndedNight(report=report(SleepOutcome.ACCEPTED), candidate=candidate))
    assert are_equal(candidate.state_dict(), weights(loop))
    assert loop.between_ticks.weights_version == 1
    initial = loop.reasoner.model.initial_carry(1, torch.device("cpu"))
    assert not torch.equal(loop.reasoner.carry.z_H, initial.z_H)
    assert loop.memory_writer.transitions.latest(16) is None, "no window spans a swap"


def test_while_a_night_lasts_nothing_is_practised(loop, monkeypatch: pytest.MonkeyPatch):
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
