"""The live view in a terminal: an Instrument that queues reports; another thread draws them.

Invariant: one append per tick on the loop's thread. Of reports beyond the queue's size only the totals are
shown, and an error in drawing stops the view, never the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live

from sage.app.live.inbox import Inbox
from sage.app.live.screen import draw, status_line
from sage.app.live.state import LiveState
from sage.errors import InputError
from sage.mailbox.clock import Clock, RealClock
from sage.mailbox.hub import HubStatistics
from sage.runtime.report import Event, SleepReport, TickReport


class LiveView:
    """A context manager that draws from entry to exit: the whole screen of a terminal, elsewhere one line
    every
    `line_secs`.

    title: at the right of the heading, e.g. the session's id.  is_enabled: False draws nothing.
    real_clock: measures the speed of a replay, which has a clock of its own.
    notices: called at each drawing; returns problems to show, e.g. reports that the store dropped.
    """

    def __init__(
        self,
        title: str = "",
        *,
        is_enabled: bool = True,
        console: Console | None = None,
        refresh_hz: float = 4.0,
        line_secs: float = 5.0,
        notices: Callable[[], tuple[str, ...]] = tuple,
        real_clock: Clock | None = None,
    ) -> None:
        if refresh_hz <= 0 or line_secs <= 0:
            raise InputError(f"refresh_hz {refresh_hz}, line_secs {line_secs}: give above 0")
        self._console = console or Console()
        self._is_enabled = is_enabled
        self._state = LiveState(title=title)
        self._notices = notices
        self._real_clock = real_clock or RealClock()
        self._period_secs = 1 / refresh_hz if self._console.is_terminal else line_secs
        self._inbox = Inbox()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sage-live", daemon=True)
        self._snapshot: Callable[[], HubStatistics] | None = None
        self._fault: BaseException | None = None

    def watch(self, snapshot: Callable[[], HubStatistics] | None) -> None:
        """Show mailbox statistics; `snapshot` is called at each drawing. None shows none."""
        self._snapshot = snapshot

    def on_tick(self, report: TickReport) -> None:
        self._queue(report)

    def on_sleep(self, report: SleepReport) -> None:
        self._queue(report)

    def on_event(self, event: Event) -> None:
        self._queue(event)

    def _queue(self, item: TickReport | SleepReport | Event) -> None:
        if self._is_enabled:
            self._inbox.put(item)

    def __enter__(self) -> LiveView:
        if self._is_enabled:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop drawing and restore the terminal. Idempotent. Raises RuntimeError from an error of the drawing
        thread.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        fault, self._fault = self._fault, None
        if fault is not None:
            raise RuntimeError("the live view failed while drawing; the session was not affected") from fault

    def take_in(self) -> LiveState:
        """Add the reports since the last call to the state, and return it."""
        while (found := self._inbox.take()) is not None:
            skipped, item = found
            self._state.add(skipped)
            self._state.take(item)
        self._state.notices = self._notices()
        snapshot = self._snapshot
        if snapshot is not None:
            self._state.mailboxes = snapshot()
        self._state.measure_speed(self._real_clock.now_ns())
        return self._state

    def _run(self) -> None:
        try:
            if self._console.is_terminal:
                self._draw_screens()
            else:
                self._print_lines()
        except Exception as error:  # the top of a worker: raised again by close()
            self._fault = error

    def _draw_screens(self) -> None:
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                is_last = self._stop.is_set()
                live.update(draw(self.take_in(), self._console.size), refresh=True)
                if is_last:
                    return
                self._stop.wait(self._period_secs)

    def _print_lines(self) -> None:
        while not self._stop.wait(self._period_secs):
            self._console.print(status_line(self.take_in()), soft_wrap=True, highlight=False, markup=False)
