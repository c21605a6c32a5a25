"""The table of operating modes: every state reached, every state but CRISIS left."""

from __future__ import annotations

from sage.runtime.report import State
from sage.runtime.sleep.metabolism import TABLE, Metabolism, Vitals

SECOND = 1_000_000_000


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


def test_crisis_comes_first_and_is_never_left():
    metabolism = Metabolism(0)
    metabolism.step(Vitals(crisis="heat", is_sleeping=True, calm_secs=99), 0)
    assert metabolism.state is State.CRISIS
    assert metabolism.step(Vitals(), 99 * SECOND) is None


def test_every_state_is_reached_and_every_state_but_crisis_is_left():
    assert {transition.target for transition in TABLE} == set(State)
    assert {state for transition in TABLE for state in transition.sources} == set(State) - {State.CRISIS}
