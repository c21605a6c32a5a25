"""An instrument of the loop that hands the figures of each stretch of ticks to all trackers.

Invariant: a tick collects and queues; it never waits for a tracker.
"""

from __future__ import annotations

from collections.abc import Sequence

from sage.app.trackers.background import BackgroundSink
from sage.app.trackers.session_figures import SessionFigures
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport


class SessionTracker:
    """every_secs: time on the loop's clock between two reports. Call `close` at the end: it reports the rest
    and closes the trackers.
    """

    def __init__(self, trackers: Sequence[BackgroundSink], *, every_secs: float) -> None:
        self._trackers = tuple(trackers)
        self._every_ns = int(every_secs * 1e9)
        self._next_ns = self._every_ns
        self._figures = SessionFigures()
        self._num_ticks = 0  # since the last report

    def on_tick(self, report: TickReport) -> None:
        self._figures.note_tick(report)
        self._num_ticks += 1
        if report.facts.time_ns >= self._next_ns:
            self._report()
            self._next_ns = report.facts.time_ns + self._every_ns

    def on_sleep(self, report: SleepReport) -> None:
        self._figures.note_sleep(report)

    def on_event(self, event: Event) -> None:
        self._figures.note_event(event)

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        self._figures.note_coherence(rows)

    def notices(self) -> tuple[str, ...]:
        """Problems to show in the live view; empty without any."""
        return tuple(notice for each in self._trackers for notice in each.notices())

    def close(self) -> None:
        if self._num_ticks:
            self._report()
        for tracker in self._trackers:
            tracker.close()

    def _report(self) -> None:
        step, figures = self._figures.take()
        self._num_ticks = 0
        for tracker in self._trackers:
            tracker.log(step, figures)
