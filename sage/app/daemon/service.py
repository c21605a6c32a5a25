"""The service around a session: its state, the watchdog, the status line.

Invariant: WATCHDOG=1 is sent by the loop's thread alone, before ticks and between them, so that a tick that
hangs is noticed. A pause and a crisis send it too: they are no hang.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import structlog

from sage.app.daemon.notify import Notifier
from sage.app.daemon.states import Lifecycle, ServiceState, Standing
from sage.errors import Terminated
from sage.runtime.report import Event, SleepReport, State, TickReport

log = structlog.get_logger("sage.app")
#: Between two status lines.
STATUS_NS = 10_000_000_000


class Service:
    """An Instrument, and a context manager from the start of a session to its end.

    An exception that leaves it is a failure. `drained` states what else is one.
    """

    def __init__(self, notifier: Notifier, *, real_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._notifier = notifier
        self._real_ns = real_ns
        self.lifecycle = Lifecycle(self._publish, real_ns=real_ns)
        secs = notifier.watchdog_secs
        self._every_ns = None if secs is None else int(secs * 1e9 / 4)
        self._sent_ns = self._status_ns = 0
        self._failure = ""
        self._has_hangup = False  # one that came while the session started
        #: Starts a reload on another thread, once there is something to reload.
        self.reload_soon: Callable[[], None] = lambda: None

    def on_hangup(self) -> None:
        """For the handler of SIGHUP. While the session starts it is kept until `begin`."""
        if self.lifecycle.state is ServiceState.STARTING:
            self._has_hangup = True
        else:
            self.reload_soon()

    @property
    def is_managed(self) -> bool:
        """Whether a service manager listens."""
        return self._notifier.is_connected

    def __enter__(self) -> Service:
        self._notifier.status(ServiceState.STARTING.value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = self._failure if error is None else str(error) or type(error).__name__
        if isinstance(error, (Terminated, KeyboardInterrupt)):
            reason = "ended by a signal, not in order"
        state = ServiceState.FAILED if reason else ServiceState.STOPPED
        self.lifecycle.to(state, reason, is_logged=error is None)  # an error is reported by the command
        self._notifier.close()

    def begin(self) -> None:
        """The devices are open and the control socket answers."""
        self.lifecycle.to(ServiceState.RUNNING)
        self._notifier.ready()
        if self._has_hangup:
            self.reload_soon()

    def beat(self) -> None:
        """Before each tick and while the next one is waited for, on the loop's thread."""
        if self._every_ns is None:
            return
        now_ns = self._real_ns()
        if now_ns - self._sent_ns >= self._every_ns:
            self._sent_ns = now_ns
            self._notifier.watchdog()

    def drain(self, reason: str) -> None:
        """The last tick has ended. A crisis is a failure."""
        self._failure = reason if reason.startswith("crisis") else ""
        self.lifecycle.to(ServiceState.DRAINING, reason)

    def reload(self, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Reload, with the messages of one to the service manager. On the loop's thread."""
        self._notifier.reloading()
        try:
            return function()
        finally:
            self._notifier.ready()

    def facts(self) -> dict[str, Any]:
        """For `sage status`."""
        standing = self.lifecycle.standing
        secs = (self._real_ns() - standing.since_ns) * 1e-9
        return {
            "state": standing.state.value,
            "reason": standing.reason,
            "secs": round(secs, 3),
            "watchdog_secs": self._notifier.watchdog_secs,
        }

    def on_tick(self, report: TickReport) -> None:
        mode, state = report.facts.state, self.lifecycle.state
        if mode is State.DREAM and state is ServiceState.RUNNING:
            self.lifecycle.to(ServiceState.SLEEPING, "a night is in progress")
        elif mode is not State.DREAM and state is ServiceState.SLEEPING:
            self.lifecycle.to(ServiceState.RUNNING, "the night has ended")
        if self.is_managed and self._real_ns() - self._status_ns >= STATUS_NS:
            self._status_ns = self._real_ns()
            self._notifier.status(f"{self.lifecycle.state.value}, {mode.value}, tick {report.facts.tick:,}")

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def _publish(self, standing: Standing) -> None:
        if standing.state is ServiceState.DRAINING:
            self._notifier.stopping()
        reason = f": {standing.reason}" if standing.reason else ""
        self._notifier.status(f"{standing.state.value}{reason}")
