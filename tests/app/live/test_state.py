"""The state of the live view: recent rates, the speed of a replay, bounded memory."""

from __future__ import annotations

import pytest
from rich.console import ConsoleDimensions

from sage.app.live.screen import draw
from sage.app.live.state import LiveState
from sage.app.session.synthetic import SyntheticSession
from sage.mailbox.clock import ManualClock
from sage.runtime.report import TickReport


def state_after(num_ticks: int, upto: int | None = None, **options) -> LiveState:
    state = LiveState(title="2026-11-22-quiet-otter")
    for item in SyntheticSession(num_ticks=num_ticks, **options).items():
        state.take(item)
        if isinstance(item, TickReport) and item.facts.tick == upto:
            break
    return state


def test_rates_are_of_the_last_seconds():
    state = state_after(400)
    assert state.report is not None
    now_ns = state.report.facts.time_ns
    assert state.ticks.hz(now_ns) == pytest.approx(20.0)
    assert state.sources["imu"].rate.hz(now_ns) == pytest.approx(20 / 3, rel=0.02)


def test_a_fast_replay_shows_how_fast():
    state = LiveState()
    clock = ManualClock()
    for report in (item for item in SyntheticSession(num_ticks=41).items() if isinstance(item, TickReport)):
        state.take(report)
        if report.facts.tick % 20 == 0:  # a second of the run in a tenth of real time
            state.measure_speed(clock.now_ns())
            clock.advance(100_000_000)
    assert state.speed == pytest.approx(10.0)
    assert "10× real time" in draw(state, ConsoleDimensions(120, 24)).plain  # noqa: RUF001  a multiplication sign is meant


def test_the_state_of_the_view_is_bounded():
    state = state_after(1500, tick_hz=2.0)
    assert len(state.surprise.values()) <= 121
    assert len(state.events) <= 50
