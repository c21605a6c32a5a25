"""`--trace`: focus messages, ticks with their stages, and nights, as a Chrome/Perfetto trace.

Invariant: all times are on the run's clock, and memory is bounded: the last ticks, nights and messages.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sage.app.session.build import Run
from sage.app.terminal.errors import UserError
from sage.mailbox.trace import OTHERS, MessageTrace, named
from sage.runtime.report import Event, SleepReport, TickReport

log = structlog.get_logger("sage.app")

#: Rows of the process of the loop: ticks, then nights, a row for each model that sleeps.
_TICKS, _FIRST_NIGHTS = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Night:
    report: SleepReport
    start_ns: int
    end_ns: int


class LoopTrace:
    """An Instrument. epoch_ns: time 0 of the reports on the run's clock, called in each tick."""

    def __init__(self, epoch_ns: Callable[[], int], capacity: int = 65_536) -> None:
        self._epoch_ns = epoch_ns
        self._ticks: deque[tuple[int, TickReport]] = deque(maxlen=capacity)
        self._nights: deque[_Night] = deque(maxlen=capacity)

    def on_tick(self, report: TickReport) -> None:
        self._ticks.append((self._epoch_ns() + report.facts.time_ns, report))

    def on_sleep(self, report: SleepReport) -> None:
        """It ends now. A night that began before the oldest tick begins with that."""
        if not self._ticks:
            return
        oldest, (end_ns, newest) = self._ticks[0][1].facts.tick, self._ticks[-1]
        at = min(max(0, report.tick - oldest), len(self._ticks) - 1)
        end_ns += newest.timing.total_ns
        self._nights.append(_Night(report=report, start_ns=self._ticks[at][0], end_ns=end_ns))

    def on_event(self, event: Event) -> None:
        """Events have no duration."""

    def to_chrome(self) -> list[dict[str, Any]]:
        """In the Trace Event Format: a tick and its stages on one row, nights below."""
        models = sorted({night.report.stream for night in self._nights})
        rows = {model: row for row, model in enumerate(models, _FIRST_NIGHTS)}
        events = [named("process_name", OTHERS, 0, "loop"), named("thread_name", OTHERS, _TICKS, "ticks")]
        for model, row in rows.items():
            events.append(named("thread_name", OTHERS, row, f"nights of {model or 'the senses'}"))
        for start_ns, report in self._ticks:
            events += _tick(start_ns, report)
        for night in self._nights:
            outcome = night.report.outcome.value
            about = {"reason": night.report.reason, "steps": night.report.num_steps}
            span_ns = night.end_ns - night.start_ns
            events.append(_span(outcome, rows[night.report.stream], night.start_ns, span_ns, about))
        return events


@contextmanager
def traced(run: Run, path: Path) -> Iterator[None]:
    """Raises UserError at once when the file cannot be written, not at the end of a long run. A write that
    fails at the end is logged: the run and its summary do not depend on it.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
        path.touch()
    except OSError as error:
        raise UserError(f"--trace: {path}: {error.strerror}: give a writable file") from None
    messages, loop = MessageTrace(), LoopTrace(lambda: run.loop.epoch_ns)
    run.hub.keep_trace(messages)
    run.loop.senses.post_each()
    run.loop.observe(loop)
    try:
        yield
    finally:
        try:
            messages.write(path, loop.to_chrome())
        except OSError as error:
            log.error("the trace is not written", file=str(path), reason=error.strerror or str(error))


def _tick(start_ns: int, report: TickReport) -> Iterator[dict[str, Any]]:
    """The tick, and in it its stages one after the other."""
    facts = report.facts
    about = {"tick": facts.tick, "state": facts.state.value, "segments": facts.num_segments}
    yield _span("tick", _TICKS, start_ns, report.timing.total_ns, about)
    for stage, spent_ns in report.timing.stages:
        yield _span(stage, _TICKS, start_ns, spent_ns, {"tick": facts.tick})
        start_ns += spent_ns


def _span(name: str, row: int, start_ns: int, span_ns: int, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "cat": "loop",
        "ph": "X",
        "ts": start_ns / 1e3,
        "dur": span_ns / 1e3,
        "pid": OTHERS,
        "tid": row,
        "args": about,
    }
