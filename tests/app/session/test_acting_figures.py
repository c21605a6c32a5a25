"""What a session earned, by the episodes that ended in it."""

from __future__ import annotations

from sage.app.session.acting_figures import NUM_COMPARED, ActingTally, earned_line
from sage.runtime.report import ActingFacts


def test_only_ended_episodes_count_and_each_once() -> None:
    tally = ActingTally()
    tally.add(ActingFacts(world="cart"))
    (figures,) = tally.figures()
    assert earned_line(figures) == "no episode has ended"
    for episode in range(1, 101):
        for _ in range(3):  # ticks
            tally.add(ActingFacts(world="cart", num_episodes=episode, last_return=float(episode)))
    (figures,) = tally.figures()
    assert (figures.num_episodes, figures.num_compared) == (100, NUM_COMPARED)
    assert (figures.first, figures.last) == (10.5, 90.5)
    assert earned_line(figures) == (
        "median return 10.50 in the first 20 episodes, 90.50 in the last 20; 100 episodes"
    )
