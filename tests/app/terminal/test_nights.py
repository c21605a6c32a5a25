"""A night in one line of text."""

from __future__ import annotations

from sage.app.terminal.nights import night_line
from sage.runtime.report import SleepOutcome, SleepReport


def test_the_gain_of_a_night_is_stated_once() -> None:
    report = SleepReport(
        outcome=SleepOutcome.ROLLED_BACK,
        reason="worse: gain -2.0 points, 90% interval -3.0 to -1.0",
        tick=5,
        stream="puzzles",
        num_replayed=28,
        num_examined=67,
        num_steps=1200,
        gain=-0.02,
        gain_low=-0.03,
        gain_high=-0.01,
        wall_secs=5.0,
    )
    assert night_line("puzzles", report) == (
        "stream puzzles: rolled back (worse: gain -2.0 points, 90% interval -3.0 to -1.0); 1,200 steps;"
        " 28 replayed, 67 examined; 5.0 s"
    )
