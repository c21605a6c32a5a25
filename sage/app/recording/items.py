"""What waits in the queue of a recording. Times are on the run's clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.board import AnswerText
from sage.sensors.contract import Reading


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """One reading. values: nothing else changes them."""

    source: str
    values: np.ndarray
    reading: Reading
    read_ns: int


@dataclass(frozen=True, slots=True)
class Status:
    """status: "fault" or "end"."""

    source: str
    status: str
    message: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Text:
    source: str
    answer: AnswerText
    at_ns: int


@dataclass(frozen=True, slots=True)
class Log:
    event: Event
    at_ns: int


@dataclass(frozen=True, slots=True)
class Reported:
    """A report with a time of its own, or a night, which ended at `at_ns`."""

    report: TickReport | SleepReport | CoherenceRow
    at_ns: int = 0


Item = Readings | Status | Text | Log | Reported
