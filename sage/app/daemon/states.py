"""The states of a session as a service, and the changes that are allowed.

Invariant: only TRANSITIONS changes the state; each change is published once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import structlog

from sage.errors import InputError

log = structlog.get_logger("sage.app")


class ServiceState(str, Enum):
    """starting: builds the model, opens the devices.  running: ticks.  sleeping: ticks while a night is in
    progress.  draining: no more ticks, the state is being written.  stopped, failed: final.
    """

    STARTING = "starting"
    RUNNING = "running"
    SLEEPING = "sleeping"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


_S = ServiceState
TRANSITIONS: dict[ServiceState, tuple[ServiceState, ...]] = {
    _S.STARTING: (_S.RUNNING, _S.DRAINING, _S.STOPPED, _S.FAILED),
    _S.RUNNING: (_S.SLEEPING, _S.DRAINING, _S.FAILED),
    _S.SLEEPING: (_S.RUNNING, _S.DRAINING, _S.FAILED),
    _S.DRAINING: (_S.STOPPED, _S.FAILED),
    _S.STOPPED: (),
    _S.FAILED: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A state, why it was entered, and since when on the monotonic clock, ns."""

    state: ServiceState
    reason: str
    since_ns: int


class Lifecycle:
    """The current state. on_change: called after each change, by the thread that made it."""

    def __init__(
        self,
        on_change: Callable[[Standing], None] = lambda standing: None,
        *,
        real_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_change = on_change
        self._real_ns = real_ns
        self._lock = threading.Lock()
        self.standing = Standing(state=ServiceState.STARTING, reason="", since_ns=real_ns())

    @property
    def state(self) -> ServiceState:
        return self.standing.state

    @property
    def is_ended(self) -> bool:
        return not TRANSITIONS[self.state]

    def to(self, state: ServiceState, reason: str = "", *, is_logged: bool = True) -> None:
        """Enter a state. InputError for a change that TRANSITIONS does not allow."""
        with self._lock:
            before = self.state
            if state not in TRANSITIONS[before]:
                raise InputError(f"a service that is {before.value} cannot be {state.value}")
            standing = Standing(state=state, reason=reason, since_ns=self._real_ns())
            self.standing = standing
        if is_logged:
            log.info("service", state=state.value, before=before.value, reason=reason)
        self._on_change(standing)
