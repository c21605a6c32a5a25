"""LoopControl: what a paused loop does between its ticks."""

from __future__ import annotations

import threading
import time

import pytest

from sage.mailbox.clock import Clock, ManualClock, RealClock
from sage.runtime.control import LoopControl


@pytest.mark.parametrize("clock", [ManualClock(), RealClock()], ids=["manual", "real"])
def test_a_paused_loop_holds_the_effectors_in_every_period(clock: Clock) -> None:
    held: list[int] = []
    control = LoopControl(clock, hold=lambda: held.append(1), drain=lambda: None, mark=lambda: None)
    assert not control.step(1_000_000)
    assert not held
    control.ask(control.pause)
    for _ in range(3):
        assert control.step(1_000_000)
    assert len(held) == 4
    control.ask(control.resume)
    control.step(1_000_000)
    assert not control.step(1_000_000)


HOUR_NS = 3_600_000_000_000


def waiting(control: LoopControl, clock: RealClock) -> tuple[threading.Thread, list[float]]:
    """A thread that waits an hour for the next tick; the seconds that it took, once it has ended."""
    spent: list[float] = []

    def wait() -> None:
        started = time.monotonic()
        control.wait_until(clock.now_ns() + HOUR_NS)
        spent.append(time.monotonic() - started)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, spent


def test_the_wait_for_a_tick_ends_when_it_is_due_and_beats_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage.runtime.control.BEAT_SECS", 0.01)
    clock, beats = RealClock(), []
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    control.beat = lambda: beats.append(1)
    deadline_ns = clock.now_ns() + 200_000_000
    control.wait_until(deadline_ns)
    assert clock.now_ns() >= deadline_ns
    assert len(beats) > 2


def test_what_is_asked_while_a_tick_is_waited_for_is_done_at_once() -> None:
    clock = RealClock()
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    thread, spent = waiting(control, clock)
    assert control.ask(lambda: 7).result(timeout=20) == 7
    assert thread.is_alive()  # no tick before its time
    assert control.ask(control.pause).result(timeout=20)
    thread.join(20)
    assert spent


def test_an_interrupt_ends_this_wait_and_later_ones() -> None:
    clock = RealClock()
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    thread, spent = waiting(control, clock)
    control.interrupt()
    thread.join(20)
    assert spent
    control.wait_until(clock.now_ns() + HOUR_NS)


def test_a_change_of_the_period_ends_the_wait_and_not_the_next_one() -> None:
    clock = RealClock()
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    thread, spent = waiting(control, clock)
    control.ask(control.hurry)
    thread.join(20)
    assert spent
    thread, spent = waiting(control, clock)
    assert control.ask(lambda: 7).result(timeout=20) == 7
    assert thread.is_alive()
    control.interrupt()
    thread.join(20)


def test_the_end_of_a_run_ends_the_wait() -> None:
    clock = RealClock()
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    now_ns = clock.now_ns()
    control.wait_until(now_ns + HOUR_NS, now_ns + 1_000_000)


def test_the_end_of_a_run_ends_the_wait_of_a_pause() -> None:
    clock = RealClock()
    control = LoopControl(clock, hold=lambda: None, drain=lambda: None, mark=lambda: None)
    control.ask(control.pause)
    assert control.step(HOUR_NS, clock.now_ns() + 1_000_000)
