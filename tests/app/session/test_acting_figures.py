"""What a session earned, by the episodes that ended in it."""

from __future__ import annotations

import pytest

from sage.app.session.acting_figures import NUM_COMPARED, ActingTally, Share, Successes, earned_lines
from sage.runtime.report import ActingFacts
from sage.sensors.environment import Baseline


def test_only_ended_episodes_count_and_each_once() -> None:
    tally = ActingTally()
    tally.add(ActingFacts(world="cart"))
    (figures,) = tally.figures()
    assert list(earned_lines(figures)) == ["no episode has ended"]
    for episode in range(1, 101):
        for _ in range(3):  # ticks
            tally.add(ActingFacts(world="cart", num_episodes=episode, last_return=float(episode)))
    (figures,) = tally.figures()
    assert (figures.num_episodes, figures.num_compared) == (100, NUM_COMPARED)
    assert (figures.first, figures.last) == (10.5, 90.5)
    assert list(earned_lines(figures)) == [
        "median return 10.50 in the first 20 episodes, 90.50 in the last 20; 100 episodes"
    ]


def test_success_is_counted_by_thirds_beside_other_policies() -> None:
    tally = ActingTally()
    for episode in range(1, 31):
        success = float(episode > 10 and episode % 2)
        tally.add(ActingFacts(world="arm", num_episodes=episode, last_return=0.0, last_success=success))
    tally.note_baselines("arm", [Baseline(policy="random", num_succeeded=1, num_episodes=50)])
    tally.note_baselines("another", [])
    (figures,) = tally.figures()
    assert figures.first_third == Share(num_succeeded=0, num_episodes=10)
    assert figures.last_third == Share(num_succeeded=5, num_episodes=10)
    lines = list(earned_lines(figures))
    assert lines[0] == (
        "goal reached in 0% (0% to 28%) of the first third of the episodes, 50% (24% to 76%) of the last"
        " third"
    )
    assert lines[1].startswith("other policies in the same world: random 2% (")


@pytest.mark.parametrize("num", [3, 96, 97, 1000, 5000])
def test_thirds_of_any_number_of_episodes_in_constant_memory(num: int) -> None:
    successes = Successes()
    for episode in range(num):
        successes.add(episode >= num / 2)
    thirds = successes.thirds()
    assert thirds is not None
    first, last = thirds
    assert first.share == 0.0
    assert last.share == 1.0
    assert abs(first.num_episodes - num / 3) <= 1 + num / 30
    assert len(successes._blocks) <= 96


def test_too_few_episodes_have_no_thirds() -> None:
    successes = Successes()
    successes.add(True)
    assert successes.thirds() is None
    low, high = Share(num_succeeded=50, num_episodes=50).interval
    assert 0.9 < low < high == 1.0
