"""A night, or an examination, in one line of text."""

from __future__ import annotations

import math

from sage.app.terminal.figures import count, duration, number, percent, signed, signed_percent
from sage.runtime.report import SleepReport
from sage.runtime.sleep.consolidate import Examined
from sage.runtime.sleep.puzzles.process.job import LevelShare


def night_line(name: str, report: SleepReport) -> str:
    """Outcome, reason, gain with its interval, steps, seconds. name: of the night's folder."""
    what = f"stream {report.stream}" if report.stream else f"night {name}"
    reason = f" ({report.reason})" if report.reason else ""
    parts = [f"{report.outcome.value.replace('_', ' ')}{reason}"]
    if math.isfinite(report.gain):
        gain, low, high = (_gain(report, each) for each in (report.gain, report.gain_low, report.gain_high))
        parts.append(f"gain {gain}, 90% interval {low} to {high}")
    parts.append(f"{count(report.num_steps)} steps")
    parts.append(f"{count(report.num_replayed)} replayed, {count(report.num_examined)} examined")
    if math.isfinite(report.wall_secs):
        parts.append(duration(report.wall_secs))
    return f"{what}: {'; '.join(parts)}"


def _gain(report: SleepReport, value: float) -> str:
    """Of a stream in points of puzzles solved, else relative."""
    return f"{signed(100 * value, 1)} points" if report.stream else signed_percent(value)


def examined_line(name: str, found: Examined) -> str:
    return (
        f"{name}: loss {number(found.model, 4)}, {number(found.persistence, 4)} if nothing changes,"
        f" {number(found.skip, 4)} of the linear part, on {found.num} held-out readings"
    )


def level_line(name: str, share: LevelShare) -> str:
    if not share.num:
        return f"{name}, {share.level}: no held-out puzzle"
    return (
        f"{name}, {share.level}: {percent(share.solved, 1)} of {share.num} held-out puzzles solved, 95%"
        f" interval {percent(share.low, 1)} to {percent(share.high, 1)}"
    )
