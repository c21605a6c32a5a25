"""A night, or an examination, in one line of text."""

from __future__ import annotations

import math

from sage.app.terminal.figures import count, duration, number, percent
from sage.runtime.report import SleepReport
from sage.runtime.sleep.consolidate import Examined
from sage.runtime.sleep.puzzles.process.job import LevelShare


def night_line(name: str, report: SleepReport) -> str:
    """Outcome, reason (the gain with its interval is a part of it), steps, seconds. name: of the night's
    folder.
    """
    what = f"stream {report.stream}" if report.stream else f"night {name}"
    reason = f" ({report.reason})" if report.reason else ""
    parts = [f"{report.outcome.value.replace('_', ' ')}{reason}"]
    parts.append(f"{count(report.num_steps)} steps")
    parts.append(f"{count(report.num_replayed)} replayed, {count(report.num_examined)} examined")
    if math.isfinite(report.wall_secs):
        parts.append(duration(report.wall_secs))
    return f"{what}: {'; '.join(parts)}"


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
