"""The table of operating modes: every state is reached and left, from every other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sage.runtime.energy_config import MetabolismConfig
from sage.runtime.report import State
from sage.runtime.sleep.metabolism import TABLE, Metabolism, Vitals

SECOND = 1_000_000_000
FOCUSES = MetabolismConfig(focuses=True)
#: Vitals that hold for a minute lead from any state to this one, through others where necessary.
LEADS = {
    State.WAKE: Vitals(),
    State.FOCUS: Vitals(demand=0.9),
    State.REST: Vitals(calm_secs=60),
    State.DREAM: Vitals(is_sleeping=True),
    State.CRISIS: Vitals(crisis="heat"),
}


def follow(metabolism: Metabolism, vitals: Vitals, now: int, secs: int = 60) -> int:
    for _ in range(secs):
        now += SECOND
        metabolism.step(vitals, now)
    return now


def test_calm_rests_and_news_wakes():
    metabolism = Metabolism(0)
    metabolism.step(Vitals(calm_secs=20), 20 * SECOND)
    assert metabolism.state is State.REST
    metabolism.step(Vitals(calm_secs=0), 22 * SECOND)
    assert metabolism.state is State.WAKE


def test_dwell_keeps_a_state_from_flickering():
    metabolism = Metabolism(0)
    assert metabolism.step(Vitals(calm_secs=20), 1 * SECOND) is None


def test_sleep_dreams_and_ends_awake():
    metabolism = Metabolism(0)
    metabolism.step(Vitals(is_sleeping=True), 0)
    assert metabolism.state is State.DREAM
    metabolism.step(Vitals(), 1)
    assert metabolism.state is State.WAKE


def test_crisis_comes_first_and_lasts_while_its_cause_does():
    metabolism = Metabolism(0)
    metabolism.step(Vitals(crisis="heat", is_sleeping=True, calm_secs=99), 0)
    assert metabolism.state is State.CRISIS
    now = follow(metabolism, Vitals(crisis="heat"), 0)
    assert metabolism.state is State.CRISIS
    metabolism.step(Vitals(), now + SECOND)
    assert metabolism.state is State.REST


def test_every_state_is_the_target_and_the_source_of_a_transition():
    assert {transition.target for transition in TABLE} == set(State)
    assert {state for transition in TABLE for state in transition.sources} == set(State)


@pytest.mark.parametrize("start", State)
@pytest.mark.parametrize("target", State)
def test_every_state_is_reached_from_every_state(start: State, target: State):
    """So that REST to WAKE, for one, is never unreachable."""
    metabolism = Metabolism(0, FOCUSES)
    metabolism.resume(start)
    follow(metabolism, LEADS[target], 0)
    assert metabolism.state is target


VITALS = st.builds(
    Vitals,
    calm_secs=st.sampled_from([0.0, 5.0, 60.0]),
    demand=st.floats(0, 1),
    energy=st.floats(0, 1),
    is_sleeping=st.booleans(),
    crisis=st.sampled_from(["", "", "memory"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VITALS, max_size=40))
def test_no_history_leads_to_a_state_that_cannot_be_left(history: list[Vitals]):
    metabolism, now = Metabolism(0, FOCUSES), 0
    for vitals in history:
        before, now = metabolism.state, now + SECOND
        transition = metabolism.step(vitals, now)
        assert metabolism.state is (before if transition is None else transition.target)
        if vitals.crisis or vitals.energy <= FOCUSES.crisis_energy:
            assert metabolism.state is State.CRISIS
    for target in State:
        now = follow(metabolism, LEADS[target], now)
        assert metabolism.state is target


def test_little_energy_rests_and_none_is_a_crisis_that_ends_with_energy():
    metabolism = Metabolism(0)
    assert metabolism.step(Vitals(energy=0.2), 5 * SECOND) is not None
    assert metabolism.state is State.REST
    metabolism.step(Vitals(energy=0.35), 9 * SECOND)
    assert metabolism.state is State.REST  # not enough to wake
    metabolism.step(Vitals(energy=0.01), 10 * SECOND)
    assert metabolism.state is State.CRISIS
    metabolism.step(Vitals(energy=0.1), 20 * SECOND)
    assert metabolism.state is State.CRISIS
    metabolism.step(Vitals(energy=0.5), 21 * SECOND)
    metabolism.step(Vitals(energy=0.5), 23 * SECOND)
    assert metabolism.state is State.WAKE


def test_thresholds_without_hysteresis_are_refused():
    with pytest.raises(ValidationError, match="left and entered again"):
        MetabolismConfig(crisis_energy=0.3, recovered_energy=0.2)
