"""What a person may ask of a running session: status, pause, resume, estop, arm.

Invariant: `estop` aborts every effector at once, on the thread that asks, whatever the loop does; only `arm`
ends that, and it is asked for by a person. Everything else is done between two ticks.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog

from sage.app.audit.log import AuditLog
from sage.app.control.asking import TICK_SECS, done_between_ticks
from sage.app.control.hold import Hold, HoldFile
from sage.app.control.server import Verb
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.runtime.loop import Loop
from sage.runtime.report import Event, SleepReport, TickReport, to_plain

log = structlog.get_logger("sage.app")
ResultT = TypeVar("ResultT")
#: How long `estop` waits for the devices to return from `abort`.
ABORT_SECS = 1.0
ESTOP_REASON = "estop"


class SessionControl:
    """An Instrument, with the verbs of the control socket. audit: gets a row for each of them."""

    def __init__(
        self,
        loop: Loop,
        hold_file: HoldFile,
        audit: AuditLog,
        *,
        about: dict[str, Any],
        real_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._loop = loop
        self._hold_file = hold_file
        self._audit = audit
        self._about = about
        self._real_ns = real_ns
        self._lock = threading.Lock()
        self._hold: Hold | None = None
        self._report: TickReport | None = None
        self._reported_ns = real_ns()
        self._details: dict[str, Callable[[], Any]] = {}

    def add_details(self, name: str, function: Callable[[], Any]) -> None:
        """A part of the status: JSON values, asked for by any thread."""
        self._details[name] = function

    @property
    def verbs(self) -> dict[str, Verb]:
        return {
            "status": self._status,
            "pause": self._pause,
            "resume": self._resume,
            "estop": self._estop,
            "arm": self._arm,
        }

    def on_tick(self, report: TickReport) -> None:
        self._report = report
        self._reported_ns = self._real_ns()

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def notices(self) -> tuple[str, ...]:
        """Lines for the live view."""
        hold, parts = self._hold, []
        if hold is not None and self._loop.effector_gate.stopped:
            parts.append(f"effectors are held: {hold}")
        if self._loop.control.is_paused:
            parts.append("paused: run `sage resume`")
        return tuple(parts)

    def hold(self, hold: Hold) -> None:
        """From the start of the session on, before the effectors are opened."""
        self._hold = hold
        if self._loop.effector_gate.stop(str(hold), spares=hold.spares):
            log.warning("effectors are held", reason=str(hold))
            self._audit.note("held", str(hold))

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        gate, report = self._loop.effector_gate, self._report
        result: dict[str, Any] = {
            **self._about,
            "pid": os.getpid(),
            "is_paused": self._loop.control.is_paused,
            "effectors": list(gate.names),
            "held": gate.stopped,
            "num_effector_faults": gate.num_faults,
            "crisis": self._loop.between_ticks.held,
            "budget": self._loop.between_ticks.shrunk,
            "tick": 0 if report is None else report.facts.tick,
            "secs_since_tick": round((self._real_ns() - self._reported_ns) * 1e-9, 3),
        }
        if report is not None:
            facts = report.facts
            result |= {
                "state": facts.state.value,
                "run_secs": facts.time_ns * 1e-9,
                "num_sources": len(facts.sources),
                "num_sources_running": sum(source.status == "running" for source in facts.sources),
                "posture": to_plain(facts.posture),
            }
        return result | {name: function() for name, function in self._details.items()}

    def _pause(self, request: dict[str, Any]) -> dict[str, Any]:
        has_changed = self._between_ticks(lambda: self._noted(self._loop.control.pause(), "paused"))
        return {"has_changed": has_changed}

    def _resume(self, request: dict[str, Any]) -> dict[str, Any]:
        has_changed = self._between_ticks(lambda: self._noted(self._loop.control.resume(), "resumed"))
        return {"has_changed": has_changed}

    def _estop(self, request: dict[str, Any]) -> dict[str, Any]:
        reason = f"{ESTOP_REASON}: {request['reason']}" if request.get("reason") else ESTOP_REASON
        calls = self._loop.effector_gate.stop(reason)
        problem = ""
        with self._lock:
            try:
                self._hold = self._hold_file.write("estop", reason)
            except OSError as error:
                self._hold = Hold(cause="estop", reason=reason, since_ns=time.time_ns())
                problem = f"it does not outlast a restart: {error.strerror or error}"
                log.error("estop: the hold is not on the disk", error=problem)
        self._audit.note("estop", reason)
        self._loop.control.ask(lambda: self._loop.note("estop", f"every effector is stopped: {reason}"))
        log.warning("estop: every effector is stopped", effectors=sorted(calls))
        failed = {}
        for name, call in calls.items():
            if not call.wait(ABORT_SECS) and not call.has_ended:
                failed[name] = f"abort has not returned within {ABORT_SECS:g} s"
            elif call.error is not None:
                failed[name] = f"abort failed: {call.error}"
        return {"stopped": sorted(calls), "failed": failed, "problem": problem}

    def _arm(self, request: dict[str, Any]) -> dict[str, Any]:
        gate = self._loop.effector_gate
        num_stops, held = gate.num_stops, sorted(gate.stopped)

        def release() -> bool:
            with self._lock:
                if gate.num_stops != num_stops:
                    return False
                self._hold_file.clear()
                if not gate.release(num_stops):
                    return False  # stopped again meanwhile: that writes its own hold next
                self._hold = None
            return self._noted(has_changed=bool(held), event="armed")

        try:
            self._between_ticks(release)
        except OSError as error:
            raise UserError(
                f"arm: the hold cannot be deleted ({error.strerror}): effectors stay held"
            ) from error
        if gate.stopped:
            raise UserError("arm: effectors were stopped again meanwhile: they stay held")
        return {"armed": held}

    def _noted(self, has_changed: bool, event: str) -> bool:
        """An event and a row of the audit log. On the loop's thread."""
        if has_changed:
            self._loop.note("control", event)
            self._audit.note(event, "asked for by a person")
        return has_changed

    def between_ticks(self, function: Callable[[], ResultT]) -> ResultT:
        """Run it on the loop's thread, for verbs of other parts. UserError where the tick does not end."""
        return self._between_ticks(function)

    def _between_ticks(self, function: Callable[[], ResultT]) -> ResultT:
        return done_between_ticks(self._loop.control, function, secs=TICK_SECS)


@contextmanager
def held_over(
    state_dir: Path, *, has_effectors: bool, is_replay: bool
) -> Iterator[tuple[HoldFile, Hold | None]]:
    """The hold that a session starts with. What leaves it without another error than a SageError, or before
    its effectors were opened, ends the session cleanly.

    is_replay: on a simulated clock, where equal runs have equal results: what a crash left does not count.
    """
    file = HoldFile(state_dir)
    if is_replay:
        hold = file.read()
        yield file, hold if hold is not None and hold.cause == "estop" else None
        return
    hold = file.begin(has_effectors=has_effectors)
    try:
        yield file, hold
    except BaseException as error:
        if isinstance(error, SageError) or not file.has_opened:
            file.end()
        raise
    file.end()
