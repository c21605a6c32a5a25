"""Observers: one that raises is removed, whatever it raises; a signal is passed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sage.runtime.instruments import Instruments, ReadingOf
from sage.runtime.report import Event, SleepReport, TickReport


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


class Observer:
    def __init__(self, fault: BaseException | None = None) -> None:
        self.fault = fault
        self.got: list[str] = []

    def on_tick(self, report: TickReport) -> None: ...

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None:
        self.got.append(event.message)
        if self.fault is not None:
            raise self.fault


def event(message: str) -> Event:
    return Event(tick=0, kind="note", message=message)


@pytest.mark.parametrize("fault", [OSError("1"), SystemExit(1), PanicException("1")])
def test_an_observer_that_raises_is_removed_and_the_others_go_on(fault: BaseException) -> None:
    failing, good = Observer(fault), Observer()
    instruments = Instruments([failing, good])
    instruments.on_event(event("first"))
    instruments.on_event(event("second"))
    assert (failing.got, good.got) == (["first"], ["first", "second"])
    assert instruments.num_dropped == 1


class Listener(Observer):
    """Also takes readings; with a fault it raises at them."""

    def on_readings(self, facts: Any, reading_of: ReadingOf) -> None:
        self.got.append(str(reading_of(0)))
        if self.fault is not None:
            raise self.fault


def test_readings_go_to_those_that_take_them_and_one_that_raises_is_removed() -> None:
    failing, good = Listener(ValueError("a shape")), Listener()
    instruments = Instruments([Observer(), failing])
    instruments.add(good)
    for number in range(2):
        instruments.on_readings(None, lambda source, number=number: np.array([number + source]))
    instruments.on_event(event("last"))
    assert (failing.got, good.got) == (["[0]"], ["[0]", "[1]", "last"])
    assert instruments.num_dropped == 1


def test_ctrl_c_in_an_observer_is_no_fault_of_it() -> None:
    instruments = Instruments([Observer(KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        instruments.on_event(event("first"))
    assert instruments.num_dropped == 0
