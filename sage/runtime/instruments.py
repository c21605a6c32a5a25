"""Observers of the loop. One that raises is removed, logged and counted; it never stops the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import structlog

from sage.errors import pass_on
from sage.runtime.coherence.rows import CoherenceListener, CoherenceRow
from sage.runtime.report import Event, Instrument, SleepReport, TickFacts, TickReport

log = structlog.get_logger("sage.runtime")
#: By the index of a source: its new reading, of its spec's shape and type; None without one. The array is
#: borrowed: it may be overwritten as soon as the listener has returned.
ReadingOf = Callable[[int], "np.ndarray | None"]


@runtime_checkable
class ReadingsListener(Instrument, Protocol):
    """An instrument that also receives the readings of each tick."""

    def on_readings(self, facts: TickFacts, reading_of: ReadingOf) -> None: ...


class Instruments:
    """Calls every observer with every report."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments: list[Instrument] = []
        self._listeners: list[ReadingsListener] = []
        self.num_dropped = 0
        self.add(*instruments)

    def add(self, *instruments: Instrument) -> None:
        self._instruments += instruments
        self._listeners += [each for each in instruments if isinstance(each, ReadingsListener)]

    def on_tick(self, report: TickReport) -> None:
        self._call_all(lambda instrument: instrument.on_tick(report))

    def on_sleep(self, report: SleepReport) -> None:
        self._call_all(lambda instrument: instrument.on_sleep(report))

    def on_event(self, event: Event) -> None:
        self._call_all(lambda instrument: instrument.on_event(event))

    def on_readings(self, facts: TickFacts, reading_of: ReadingOf) -> None:
        """The readings of one tick, for the observers that take them."""
        for listener in tuple(self._listeners):
            self._call_one(listener, partial(_pass_readings, listener, facts, reading_of))

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
            self._listeners = [each for each in self._listeners if each is not instrument]
            self.num_dropped += 1
            log.error("instrument removed", instrument=type(instrument).__name__, error=repr(error))


def _pass_on(rows: tuple[CoherenceRow, ...], instrument: Instrument) -> None:
    if isinstance(instrument, CoherenceListener):
        instrument.on_coherence(rows)


def _pass_readings(
    listener: ReadingsListener, facts: TickFacts, reading_of: ReadingOf, _: Instrument
) -> None:
    listener.on_readings(facts, reading_of)
