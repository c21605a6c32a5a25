"""Naming causes while a session runs: an Instrument that samples symptoms, asks a Namer, and notes events.

A call of the model is made only while a symptom is present, in a thread of low priority, or at once where the
clock is simulated, so that equal runs have equal events. Invariant: a tick never waits for an answer. A cause
is named once the same symptoms were present in two samples in a row, and ends once another answer, or none,
has taken its place.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from sage.app.diagnosis.naming import Diagnosis, Namer
from sage.app.diagnosis.symptoms import SymptomMeter
from sage.errors import SageError
from sage.runtime.coherence.monitor import lower_priority
from sage.runtime.report import Event, SleepReport, TickReport

log = structlog.get_logger("sage.app")
NAMED, ENDED = "cause named", "cause ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisFigures:
    """num_calls: answers of HRM.  num_agreed: that the exact solver's size and the rule confirm; the exact
    solver's answer was named in place of the others.  num_unexplained: settled symptoms that no set of causes
    explains.  num_too_large: puzzles that did not fit the model.  num_named: causes, each time one began.
    """

    num_calls: int = 0
    num_agreed: int = 0
    num_unexplained: int = 0
    num_too_large: int = 0
    num_named: int = 0
    named: tuple[str, ...] = ()


class DiagnosisMonitor:
    """make_namer: loads the model, at the first symptom.  note: adds an event to the loop, on its thread.
    is_inline: ask on the loop's thread."""

    def __init__(
        self,
        meter: SymptomMeter,
        make_namer: Callable[[], Namer],
        *,
        note: Callable[[str, str], None],
        every_ns: int,
        is_inline: bool,
    ) -> None:
        self._meter = meter
        self._make_namer = make_namer
        self._namer: Namer | None = None
        self._note = note
        self._every_ns = every_ns
        self._is_inline = is_inline
        self._next_ns = every_ns
        self._before: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._requests: queue.Queue[frozenset[str] | None] = queue.Queue(maxsize=1)
        self._results: queue.SimpleQueue[Diagnosis | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._problem = ""
        self._counts = dict.fromkeys(("calls", "agreed", "unexplained", "too_large", "named"), 0)
        self.named: tuple[str, ...] = ()

    def on_tick(self, report: TickReport) -> None:
        self._meter.take(report)
        self._deliver()
        if report.facts.time_ns < self._next_ns:
            return
        self._next_ns = report.facts.time_ns + self._every_ns
        present = self._meter.sample()
        is_settled, self._before = present == self._before, present
        if not is_settled or present == self._asked:
            return
        if not present:
            self._asked = present
            self._take(Diagnosis(symptoms=(), causes=()))
        elif self._ask(present):
            self._asked = present
        self._deliver()

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def notices(self) -> tuple[str, ...]:
        """Lines for the live view."""
        lines = [f"cause: {each}" for each in self.named]
        return (*lines, *([f"diagnosis: {self._problem}"] if self._problem else []))

    def figures(self) -> DiagnosisFigures:
        counts = {f"num_{name}": count for name, count in self._counts.items()}
        return DiagnosisFigures(**counts, named=self.named)

    def close(self) -> None:
        """Wait for the answer in progress; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._requests.put(None)
            thread.join()

    def _ask(self, present: frozenset[str]) -> bool:
        """Whether the request was accepted: not while another one is answered."""
        if self._is_inline:
            self._results.put(self._answered(present))
            return True
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sage-diagnosis", daemon=True)
            self._thread.start()
        try:
            self._requests.put_nowait(present)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        lower_priority()
        while (present := self._requests.get()) is not None:
            self._results.put(self._answered(present))

    def _answered(self, present: frozenset[str]) -> Diagnosis | None:
        """None where the model cannot be used: logged, and shown in the live view."""
        try:
            if self._namer is None:
                self._namer = self._make_namer()
            return self._namer.name(present)
        except Exception as error:  # the top of a worker: the session goes on without a cause
            text = str(error) if isinstance(error, SageError) else repr(error)
            self._problem = " ".join(text.split())[:200]
            log.error("diagnosis: no cause is named", error=self._problem)
            return None

    def _deliver(self) -> None:
        while not self._results.empty():
            found = self._results.get()
            if found is not None:
                self._count(found)
                self._take(found)

    def _count(self, found: Diagnosis) -> None:
        is_explained = bool(found.causes)
        self._counts["calls"] += is_explained and not found.is_too_large
        self._counts["agreed"] += found.is_agreed
        self._counts["unexplained"] += not is_explained
        self._counts["too_large"] += found.is_too_large

    def _take(self, found: Diagnosis) -> None:
        """Events for the causes that begin and end."""
        for text in self.named:
            if text not in found.causes:
                self._note(ENDED, text)
        begun = [text for text in found.causes if text not in self.named]
        self.named = found.causes
        self._counts["named"] += len(begun)
        confirmed = f"HRM's answers confirmed: {self._counts['agreed']} of {self._counts['calls']}"
        for text in begun:
            self._note(NAMED, f"{text} (symptoms: {', '.join(found.symptoms)}{_doubt(found)}; {confirmed})")


def _doubt(found: Diagnosis) -> str:
    parts = [] if found.is_unique else ["other causes explain them too"]
    if found.is_too_large:
        parts.append("by the exact solver: too many for the model")
    elif not found.is_agreed:
        parts.append("by the exact solver: HRM's answer does not explain them")
    return "".join(f"; {part}" for part in parts)
