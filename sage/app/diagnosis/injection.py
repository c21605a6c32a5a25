"""`sage inject`: faults on purpose in a running session that permits them, each with an event at its start
and its end.

Invariant: everything here runs on the loop's thread, but for `ask`, which any thread calls; when a session
ends, its faults end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NoResult
from dataclasses import dataclass
from typing import Any, Protocol

from sage.app.diagnosis.causes import SourceAbout, derived_from
from sage.app.diagnosis.faults import FaultBoard, SourceFault
from sage.app.diagnosis.machine import Machine
from sage.app.terminal.errors import UserError, nearest
from sage.runtime.report import Event, SleepReport, TickReport

STARTED, ENDED = "fault injected", "injected fault ended"
#: Faults of one source, and of the session, with what they do.
OF_SOURCE = {
    "freeze": "{} repeats one value",
    "drift": "the clock of {} drifts",
    "silence": "{} delivers nothing",
    "cut": "the line from {} to what is derived from it is cut",
}
OF_SESSION = {"disk": "the state disk is full", "starve": "other work takes the loop's core"}
MOST_SECS, TICK_SECS = 3600.0, 5.0


class Burden(Protocol):
    """What takes the loop's core."""

    def start(self) -> None: ...

    def end(self) -> None: ...


class FullDisk:
    """A Machine whose state disk has no room while `is_full`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.is_full = False

    def wait_share(self) -> float:
        return self._machine.wait_share()

    def has_room(self) -> bool:
        return not self.is_full and self._machine.has_room()

    def store_problem(self) -> str:
        return self._machine.store_problem()


@dataclass(slots=True)
class _Active:
    text: str
    until_ns: int
    end: Callable[[], None]


class Injector:
    """An Instrument, with the verb `inject`.

    refuse: makes the store's writes fail with a reason, "" ends that.  ask: runs a function between two
    ticks.
    """

    def __init__(
        self,
        sources: Sequence[SourceAbout],
        board: FaultBoard,
        disk: FullDisk,
        burden: Burden,
        *,
        refuse: Callable[[str], None],
        note: Callable[[str, str], None],
        ask: Callable[[Callable[[], Any]], Future[Any]],
    ) -> None:
        self._sources = {each.name: each for each in sources}
        self._board = board
        self._disk = disk
        self._burden = burden
        self._refuse = refuse
        self._note = note
        self._ask = ask
        self._now_ns = 0
        self._active: list[_Active] = []

    def on_tick(self, report: TickReport) -> None:
        self._now_ns = report.facts.time_ns
        for each in [each for each in self._active if each.until_ns <= self._now_ns]:
            self._end(each)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def verb(self, request: dict[str, Any]) -> dict[str, Any]:
        """faults: names.  sources: of those that need one, in order.  seconds: how long, on the loop's
        clock."""
        faults, names = _names(request.get("faults")), _names(request.get("sources", []))
        secs = request.get("seconds", 10.0)
        if isinstance(secs, bool) or not isinstance(secs, (int, float)):
            raise UserError(f"inject: seconds is {secs!r}: give a number")
        future = self._ask(lambda: self.start(faults, names, float(secs)))
        try:
            return {"injected": future.result(TICK_SECS)}
        except (NoResult, CancelledError):
            future.cancel()
            raise UserError(f"the tick has not ended within {TICK_SECS:g} s: ask again") from None

    def start(self, faults: Sequence[str], names: Sequence[str], secs: float) -> list[str]:
        """Start faults, all or none of them; returns what each does. UserError."""
        if not 0 < secs <= MOST_SECS:
            raise UserError(f"seconds is {secs:g}: give a time above 0, up to {MOST_SECS:g}")
        left, made = list(names), []
        for fault in faults:
            if fault in OF_SESSION:
                if any(each.text == OF_SESSION[fault] for each in self._active):
                    raise UserError(f"{fault}: it is injected already: wait until it ends")
                if (fault, "") in made:
                    raise UserError(f"{fault}: it is given twice: give a fault of the session once")
                made.append((fault, ""))
            elif fault in OF_SOURCE:
                if not left:
                    raise UserError(f"{fault}: no source: give --source NAME, one for each such fault")
                self._check(fault, left[0])
                made.append((fault, left.pop(0)))
            else:
                raise UserError(f"{fault}: unknown fault: {nearest(fault, {**OF_SOURCE, **OF_SESSION})}")
        if left or not made:
            raise UserError(f"{left or 'no fault'}: give a source for each fault that needs one, no more")
        until_ns = self._now_ns + round(secs * 1e9)
        return [self._begin(fault, name, until_ns, secs) for fault, name in made]

    def close(self) -> None:
        """End every fault."""
        for each in tuple(self._active):
            self._end(each)

    def _check(self, fault: str, name: str) -> None:
        if name not in self._sources:
            raise UserError(f"{name}: no such source: {nearest(name, self._sources)}")
        derived = [each.name for each in derived_from(name, tuple(self._sources.values()))]
        if fault == "cut" and not derived:
            raise UserError(f"{name}: nothing is derived from it: give a source that is in a `lineage`")
        for each in derived if fault == "cut" else [name]:
            if each not in self._board.wrapped:
                raise UserError(
                    f"{each}: it is of an environment, or in a process of its own: give another source"
                )

    def _begin(self, fault: str, name: str, until_ns: int, secs: float) -> str:
        text = {**OF_SOURCE, **OF_SESSION}[fault].format(name)
        if fault == "starve":
            self._burden.start()
            end = self._burden.end
        elif fault == "disk":
            self._fill(is_full=True)
            end = self._empty
        else:
            end = self._switch(fault, name)
        self._active.append(_Active(text, until_ns, end))
        self._note(STARTED, f"{text}, for {secs:g} s")
        return text

    def _end(self, active: _Active) -> None:
        active.end()
        self._active.remove(active)
        self._note(ENDED, active.text)

    def _switch(self, fault: str, name: str) -> Callable[[], None]:
        """Starts the fault of a source; returns what ends it."""
        names, kind = [name], fault
        if fault == "cut":
            names, kind = [each.name for each in derived_from(name, tuple(self._sources.values()))], "silence"
        kinds: dict[str, SourceFault] = {"freeze": "freeze", "drift": "drift", "silence": "silence"}
        for each in names:
            self._board.start(each, kinds[kind])

        def end() -> None:
            for each in names:
                self._board.end(each, kinds[kind])

        return end

    def _empty(self) -> None:
        self._fill(is_full=False)

    def _fill(self, *, is_full: bool) -> None:
        self._disk.is_full = is_full
        self._refuse("no space left on device (injected)" if is_full else "")


def _names(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise UserError("inject: give faults and sources as lists of names")
    return given
