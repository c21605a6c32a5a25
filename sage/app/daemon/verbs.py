"""What the control socket can ask of a service: stop, reload, snapshot, night.

Invariant: the loop is changed between two ticks, on its thread; files are read and written on the thread that
asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from sage.app.config.sage_config import SageConfig
from sage.app.control.asking import TICK_SECS, done_between_ticks
from sage.app.control.server import Verb
from sage.app.daemon.drain import Drain
from sage.app.daemon.reload import Reloaded, reloaded
from sage.app.daemon.service import Service
from sage.app.terminal.errors import UserError
from sage.runtime.loop import Loop

log = structlog.get_logger("sage.app")
ResultT = TypeVar("ResultT")
#: How long a verb waits for a snapshot to be on the disk.
SNAPSHOT_SECS = 60.0


class Keeper(Protocol):
    """Writes snapshots."""

    problem: str
    num_written: int

    def begin_now(self) -> threading.Thread | None:
        """Between two ticks: start writing a snapshot, or return the thread that writes one already; None
        where nothing has changed since the last one, or it could not be taken.
        """
        ...


class ServiceVerbs:
    """reread: the configuration as it is on the disk now, UserError where it is not valid; None where there
    is no file.  keeper: None where no snapshots are written.
    """

    def __init__(
        self,
        loop: Loop,
        config: SageConfig,
        *,
        service: Service,
        drain: Drain,
        keeper: Keeper | None,
        reread: Callable[[], SageConfig] | None,
    ) -> None:
        self._loop = loop
        self._config = config
        self._service = service
        self._drain = drain
        self._keeper = keeper
        self._reread = reread
        self._reloading = threading.Lock()

    @property
    def verbs(self) -> dict[str, Verb]:
        return {
            "stop": self._stop,
            "reload": self._reload,
            "snapshot": self._snapshot,
            "night": self._night,
        }

    def reload_soon(self) -> None:
        """For a signal handler: another thread reloads, and the outcome is in the log."""

        def work() -> None:
            try:
                self._reload({})
            except UserError:
                return  # logged already
            except Exception:  # the top of a worker
                log.exception("reload failed, the old configuration stays")

        threading.Thread(target=work, name="sage-reload", daemon=True).start()

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._drain.begin("sage stop")
        return {"drain_secs": self._drain.secs}

    def _reload(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._reloading:
            return self._service.reload(self._reload_now)

    def _reload_now(self) -> dict[str, Any]:
        if self._reread is None:
            raise UserError("reload: this session was not started from a file: start it with `sage run`")
        try:
            outcome = reloaded(self._config, self._reread())
            if outcome.changed:
                self._between_ticks(lambda: self._apply(outcome))
        except UserError as error:
            log.error("reload refused, the old configuration stays", error=str(error))
            raise
        if outcome.refused:
            log.warning("settings that need a restart were not changed", settings=", ".join(outcome.refused))
        log.info("reloaded", changed=outcome.changed)
        return {"changed": outcome.changed, "refused": list(outcome.refused)}

    def _apply(self, outcome: Reloaded) -> None:
        self._loop.between_ticks.reconfigure(outcome.config)
        self._loop.control.hurry()
        self._config = outcome.config
        text = ", ".join(f"{key}={value}" for key, value in outcome.changed.items())
        self._loop.note("reload", text)

    def _snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._keeper is None:
            raise UserError("snapshot: none is written on a simulated clock: run without --fast")
        keeper = self._keeper
        tick, thread = self._between_ticks(lambda: (self._loop.tick_count, keeper.begin_now()))
        if thread is not None:
            thread.join(SNAPSHOT_SECS)
            if thread.is_alive():
                raise UserError(f"snapshot: not written within {SNAPSHOT_SECS:g} s: look at the disk")
        if keeper.problem:
            raise UserError(f"snapshot: not written, the previous one stays: {keeper.problem}")
        return {"tick": tick, "num_written": keeper.num_written}

    def _night(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"action": "start"} or "stop"."""
        action = request.get("action")
        between_ticks = self._loop.between_ticks
        if action == "start":
            reason = self._between_ticks(between_ticks.ask_night)
        elif action == "stop":
            reason = self._between_ticks(between_ticks.stop_night)
        else:
            raise UserError(f"night: {action!r}: give start or stop")
        if reason:
            raise UserError(f"night {action}: {reason}")
        return {"action": action}

    def _between_ticks(self, function: Callable[[], ResultT]) -> ResultT:
        return done_between_ticks(self._loop.control, function, secs=TICK_SECS)
