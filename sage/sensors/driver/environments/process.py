"""The loop's side of an environment in a process of its own: its readings, its effectors, its end.

Invariant: a process that fails, ends or sends nothing for `hang_secs` is one fault of all its sensors and
effectors together. What its reader thread has received is taken without waiting.
"""

from __future__ import annotations

import socket
import threading
from collections import deque

from sage.errors import InputError
from sage.sensors.contract import (
    Reading,
    SensorError,
)
from sage.sensors.driver.environments import wire
from sage.sensors.driver.environments.plan import EnvironmentPlan
from sage.sensors.driver.isolation.engine import START_SECS, SensorProcess
from sage.sensors.driver.supervision import OPEN_FACTOR, Ending

WORKER = "sage.sensors.driver.environments.worker"
#: Readings of a sensor between two ticks; the oldest are dropped beyond them.
INBOX = 256
#: How long the end of a process that closed its socket may take.
END_SECS = 0.5


class EnvironmentProcess:
    """One process, from its start to its end. `failure` is set once, by whichever thread sees it first."""

    def __init__(self, name: str, plan: EnvironmentPlan, *, num_sensors: int, hang_ns: int) -> None:
        self.inboxes: tuple[deque[tuple[Reading, bytes]], ...] = tuple(
            deque(maxlen=INBOX) for _ in range(num_sensors)
        )
        self.is_exhausted = [False] * num_sensors
        self.failure: str | None = None
        self.is_refused = False
        self._name = name
        self._hang_ns = hang_ns
        self._is_ready = threading.Event()
        self._lock = threading.Lock()
        self._users: set[int] = set()
        self._replies: dict[int, tuple[threading.Event, list[wire.Reply]]] = {}
        self._num_requests = 0
        self._num_messages = 0
        self._seen_messages = -1
        self._seen_ns = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = SensorProcess(
                plan.to_json(), module=WORKER, arguments=(str(theirs.fileno()),), pass_fds=(theirs.fileno(),)
            )
        self._wire = wire.Wire(ours)
        threading.Thread(target=self._read, name=f"environment-{name}", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        """The environment has opened."""
        return self._is_ready.is_set()

    def join(self, user: object) -> None:
        with self._lock:
            self._users.add(id(user))

    def leave(self, user: object) -> Ending | None:
        """The last user that leaves ends the process; it is returned while it has not ended."""
        with self._lock:
            self._users.discard(id(user))
            if self._users:
                return None
        self._end("closed")
        return self._process if self._process.is_alive else None

    def check(self, now_ns: int) -> None:
        """Raises where the process has failed, or sends nothing for too long."""
        if self.failure is None:
            self._end_if_silent(now_ns)
        if self.failure is not None:
            kind = InputError if self.is_refused else SensorError
            raise kind(f"{self._name}: {self.failure}")

    def fail(self, reason: str) -> None:
        """A reading is at fault: end the process, so that all its sensors and effectors stop."""
        self._end(reason)

    def wait_ready(self, limit_secs: float) -> None:
        """Raises as `check` does, and SensorError where it has not opened in time."""
        if not self._is_ready.wait(limit_secs) and self.failure is None:
            raise SensorError(f"{self._name}: not open within {limit_secs:g} s")
        if self.failure is not None:
            raise (InputError if self.is_refused else SensorError)(f"{self._name}: {self.failure}")

    def request(self, kind: int, index: int, stamp_ns: int = 0, values: bytes = b"") -> wire.Reply:
        """Ask the environment, and wait for its reply. SensorError where there is none within hang_secs."""
        arrived: tuple[threading.Event, list[wire.Reply]] = (threading.Event(), [])
        with self._lock:
            self._num_requests = number = self._num_requests + 1
            self._replies[number] = arrived
        try:
            if self.failure is None:
                self._wire.send(kind, index, wire.pack_request(number, stamp_ns, values))
                if not arrived[0].wait(self._hang_ns * 1e-9):
                    self._end_hung(self._hang_ns)
        except OSError:  # it is ending: its reader finds out why
            arrived[0].wait(self._hang_ns * 1e-9)
        finally:
            with self._lock:
                self._replies.pop(number, None)
        if not arrived[1]:
            raise SensorError(f"{self._name}: {self.failure or 'its process is ending'}")
        return arrived[1][0]

    def _read(self) -> None:
        """The reader thread: until the socket is closed at either end."""
        failure: str | None = None
        while (message := self._wire.receive()) is not None:
            self._num_messages += 1
            if message.kind in (wire.FAILED, wire.REFUSED):
                failure = message.body.decode("utf-8", "replace")
                self.is_refused = message.kind == wire.REFUSED and not self.is_ready
            else:
                self._take(message)
        if self.failure is None:
            has_ended = self._process.join(END_SECS)
            if failure is not None:
                failure = self._process.with_output(failure)
            else:
                failure = self._process.describe_end() if has_ended else "its process closed its socket"
        self._end(failure or "closed")

    def _take(self, message: wire.Message) -> None:
        if message.kind == wire.READING:
            self.inboxes[message.index].append(wire.unpack_reading(message.body))
        elif message.kind == wire.READY:
            self._is_ready.set()
        elif message.kind == wire.ENDED:
            self.is_exhausted[message.index] = True
        elif message.kind == wire.REPLY:
            reply = wire.Reply.unpack(message.body)
            with self._lock:
                arrived = self._replies.get(reply.number)
            if arrived is not None:
                arrived[1].append(reply)
                arrived[0].set()

    def _end(self, reason: str) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = reason
            waiting = list(self._replies.values())
        self._wire.close()
        self._is_ready.set()
        for has_arrived, _ in waiting:
            has_arrived.set()

    def _end_if_silent(self, now_ns: int) -> None:
        if self._num_messages != self._seen_messages:
            self._seen_messages = self._num_messages
            self._seen_ns = now_ns
            return
        limit_ns = self._hang_ns if self.is_ready else OPEN_FACTOR * self._hang_ns + round(START_SECS * 1e9)
        if now_ns - self._seen_ns > limit_ns:
            self._end_hung(now_ns - self._seen_ns)

    def _end_hung(self, waited_ns: int) -> None:
        with self._lock:
            if self.failure is None:
                self.failure = f"a call has not returned for {waited_ns * 1e-9:.1f} s"
        self._process.abandon()
        self._end("closed")
