"""Observers of the loop. One that raises is removed, logged and counted; it never stops the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from sage.errors import pass_on
from sage.runtime.coherence.rows import CoherenceListener, CoherenceRow
from sage.runtime.report import Event, Instrument, SleepReport, TickReport

log = structlog.get_logger("sage.runtime")


class Instruments:
    """Calls every observer with every report."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = list(instruments)
        self.num_dropped = 0

    def add(self, *instruments: Instrument) -> None:
        self._instruments += instruments

    def on_tick(self, report: TickReport) -> None:
        self._call_all(lambda instrument: instrument.on_tick(report))

    def on_sleep(self, report: SleepReport) -> None:
        self._call_all(lambda instrument: instrument.on_sleep(report))

    def on_event(self, event: Event) -> None:
        self._call_all(lambda instrument: instrument.on_event(event))

    def on_coherence(self, rows: tuple[CoherenceRow, ...]) -> None:
        """The figures of one window, for the observers that take them."""
        for instrument in tuple(self._instruments):
            if isinstance(instrument, CoherenceListener):
                self._call_one(instrument, partial(_pass_on, rows))

    def _call_all(self, call: Callable[[Instrument], None]) -> None:
        for instrument in tuple(self._instruments):
            self._call_one(instrument, call)

    def _call_one(self, instrument: Instrument, call: Callable[[Instrument], None]) -> None:
        try:
            call(instrument)
        except BaseException as error:  # an observer's error must not stop the loop
            pass_on(error)
            self._instruments.remove(instrument)
            self.num_dropped += 1
            log.error("instrument removed", instrument=type(instrument).__name__, error=repr(error))


def _pass_on(rows: tuple[CoherenceRow, ...], instrument: Instrument) -> None:
    if isinstance(instrument, CoherenceListener):
        instrument.on_coherence(rows)
