"""The verdict of a night with dreams: readings and episodes together."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.report import NAN, SleepOutcome
from sage.runtime.sleep.dreaming import EPISODES, Dreamt, Episodes, judge_body
from sage.runtime.sleep.judge import Verdict

DREAMT = Dreamt(num_ticks=300, num_episodes=12, num_steps=150, num_failed=0, cpu_secs=3.0)
BEFORE = Episodes(returns=np.zeros(20), successes=np.zeros(20))
BETTER = Episodes(returns=np.linspace(0.5, 1.5, 20), successes=np.ones(20))
WORSE = Episodes(returns=-np.linspace(0.5, 1.5, 20), successes=np.zeros(20))
EQUAL = Episodes(returns=np.tile([0.1, -0.1], 10), successes=np.zeros(20))
UNDECIDED, ACCEPTED, ROLLED_BACK = SleepOutcome.UNDECIDED, SleepOutcome.ACCEPTED, SleepOutcome.ROLLED_BACK


def verdict(outcome: SleepOutcome, loss_after: float = 1.0, old_after: float = NAN) -> Verdict:
    return Verdict(
        outcome=outcome,
        reason="of the readings",
        loss_before=1.0,
        loss_after=loss_after,
        loss_old_before=1.0,
        loss_old_after=old_after,
    )


@pytest.mark.parametrize(
    ("readings", "episodes", "outcome"),
    [
        (verdict(UNDECIDED), BETTER, ACCEPTED),
        (verdict(UNDECIDED, loss_after=1.2), BETTER, ACCEPTED),
        (verdict(ROLLED_BACK, loss_after=1.04), BETTER, ACCEPTED),
        (verdict(ROLLED_BACK, loss_after=1.06), BETTER, ROLLED_BACK),
        (verdict(ROLLED_BACK, old_after=1.06), BETTER, ROLLED_BACK),
        (verdict(ROLLED_BACK, loss_after=NAN), BETTER, ROLLED_BACK),
        (verdict(ACCEPTED), WORSE, ROLLED_BACK),
        (verdict(ACCEPTED), EQUAL, ACCEPTED),
        (verdict(UNDECIDED), EQUAL, UNDECIDED),
    ],
)
def test_readings_and_episodes_decide_together(
    readings: Verdict, episodes: Episodes, outcome: SleepOutcome
) -> None:
    found = judge_body(readings, BEFORE, episodes, DREAMT, seed=0)
    assert found.outcome is outcome
    assert "300 dreamed ticks, 12 episodes, 150 steps, 3 CPU s" in found.reason
    assert f"of {len(BEFORE.returns)} episodes" in found.reason
    assert found.loss_after is readings.loss_after


def test_shares_of_episodes_are_in_the_report_where_the_environment_states_them() -> None:
    (share,) = judge_body(verdict(UNDECIDED), BEFORE, BETTER, DREAMT, seed=0).levels
    assert (share.level, share.num, share.before, share.after) == (EPISODES, 20, 0.0, 1.0)
    assert share.gain_low == share.gain_high == 1.0
    unstated = Episodes(returns=BETTER.returns, successes=np.full(20, NAN))
    assert judge_body(verdict(UNDECIDED), unstated, unstated, DREAMT, seed=0).levels == ()
