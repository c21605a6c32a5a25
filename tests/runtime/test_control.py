"""LoopControl: what a paused loop does between its ticks."""

from __future__ import annotations

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
