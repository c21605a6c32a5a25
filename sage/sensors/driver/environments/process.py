"""The loop's side of an environment in a process of its own: its readings, its effectors, its end.

Invariant: a process that fails, ends or sends nothing for `hang_secs` is one fault of all its sensors and
effectors together; the first that is opened again starts a new one. A poll does not wait, except at most
OUTPUT_SECS once for the last output of a process that fails.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.sensors.config import EnvironmentConfig
from sage.sensors.contract import (
    Action,
    Effector,
    EffectorSpec,
    Reading,
    SensorContext,
    SensorError,
    SensorSpec,
    SourceExhausted,
)
from sage.sensors.driver.delivery import Delivery, Outlet
from sage.sensors.driver.environments import wire
from sage.sensors.driver.environments.plan import EnvironmentPlan
from sage.sensors.driver.isolation.engine import START_SECS, SensorProcess
from sage.sensors.driver.ledger import Ledger
from sage.sensors.driver.supervision import OPEN_FACTOR, Ending, Engine

WORKER = "sage.sensors.driver.environments.worker"
#: Readings of a sensor between two ticks; the oldest are dropped beyond them.
INBOX = 256
#: Readings that one poll delivers, so that an environment that is late cannot block a tick.
MAX_PER_POLL = 32
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


class EnvironmentIsolation:
    """An environment in one process: engines for the drivers of its sensors, and its effectors.

    target: its class, "module:Class".  context: the run's, when a process starts.  sensors, effectors: the
    specs of an environment that was made from the same configuration.
    """

    def __init__(
        self,
        *,
        target: str,
        config: EnvironmentConfig,
        context: Callable[[], SensorContext],
        sensors: tuple[SensorSpec, ...],
        effectors: tuple[EffectorSpec, ...],
    ) -> None:
        self.config = config
        self.context = context
        self.sensor_specs = sensors
        self.effector_specs = effectors
        self._target = target
        self._lock = threading.Lock()
        self._process: EnvironmentProcess | None = None

    def sensor(self, index: int) -> SensorEngines:
        """For SensorDriver's `isolation`."""
        return SensorEngines(self, index)

    def effector(self, index: int) -> Effector:
        return RemoteEffector(self, index)

    def join(self, user: object) -> EnvironmentProcess:
        """The process that runs, or a new one after a fault."""
        with self._lock:
            if self._process is None or self._process.failure is not None:
                self._process = EnvironmentProcess(
                    self.config.name,
                    self._plan(),
                    num_sensors=len(self.sensor_specs),
                    hang_ns=round(self.config.hang_secs * 1e9),
                )
            self._process.join(user)
            return self._process

    def _plan(self) -> EnvironmentPlan:
        context = self.context()
        return EnvironmentPlan(
            target=self._target,
            config=self.config.model_dump(mode="json", exclude_unset=True)
            | {"kind": self.config.kind, "name": self.config.name},
            epoch_ns=context.epoch_ns,
            base_dir=str(context.base_dir),
        )


@dataclass(frozen=True, slots=True)
class SensorEngines:
    """Makes the engines of one sensor's driver."""

    isolation: EnvironmentIsolation
    index: int

    def engine(self, ledger: Ledger, outlet: Outlet, *, hang_ns: int) -> Engine:
        return SensorEngine(self.isolation, self.index, ledger, outlet)


class SensorEngine:
    """One sensor of one process, as its driver sees it: delivers the readings that have arrived."""

    def __init__(self, isolation: EnvironmentIsolation, index: int, ledger: Ledger, outlet: Outlet) -> None:
        self._isolation = isolation
        self._index = index
        self._ledger = ledger
        self._outlet = outlet
        self._process: EnvironmentProcess | None = None
        self._delivery: Delivery | None = None

    @property
    def is_open(self) -> bool:
        process = self._process
        return process is not None and process.is_ready and process.failure is None

    def start(self) -> None:
        isolation = self._isolation
        spec = isolation.sensor_specs[self._index]
        try:
            self._process = isolation.join(self)
        except OSError as error:
            raise SensorError(f"{isolation.config.name}: its process cannot be started: {error}") from error
        self._delivery = Delivery(spec, self._ledger, self._outlet, isolation.context().clock)

    def poll(self, now_ns: int) -> None:
        process, delivery = self._process, self._delivery
        assert process is not None
        assert delivery is not None
        inbox = _Inbox(process, self._index, self._isolation.sensor_specs[self._index])
        try:
            for _ in range(MAX_PER_POLL):
                if delivery.deliver_next(inbox) is None:
                    break
        except SourceExhausted:
            raise
        except SensorError as error:
            process.fail(str(error))
            raise
        process.check(now_ns)

    def stop(self) -> Ending | None:
        if self._delivery is not None:
            self._delivery.discard()
        process, self._process = self._process, None
        return None if process is None else process.leave(self)


class UnreadSensor:
    """The spec of a sensor that another process owns; it is never read here."""

    def __init__(self, spec: SensorSpec) -> None:
        self._spec = spec

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        raise SensorError(f"{self._spec.name}: it belongs to the process of its environment")

    def read_into(self, out: np.ndarray) -> Reading | None:
        raise SensorError(f"{self._spec.name}: it belongs to the process of its environment")

    def close(self) -> None:
        """Nothing to give back."""


class _Inbox:
    """The readings that have arrived, as a sensor for a Delivery."""

    def __init__(self, process: EnvironmentProcess, index: int, spec: SensorSpec) -> None:
        self._process = process
        self._index = index
        self.spec = spec

    def open(self) -> None:
        """Its process is open."""

    def read_into(self, out: np.ndarray) -> Reading | None:
        inbox = self._process.inboxes[self._index]
        if not inbox:
            if self._process.is_exhausted[self._index]:
                raise SourceExhausted("end of the recording")
            return None
        reading, values = inbox.popleft()
        out[...] = np.frombuffer(values, out.dtype).reshape(out.shape)
        return reading

    def close(self) -> None:
        """Its process goes on for the other sensors."""


class RemoteEffector:
    """An effector of the environment: `apply` waits for the process, up to the environment's hang_secs."""

    def __init__(self, isolation: EnvironmentIsolation, index: int) -> None:
        self._isolation = isolation
        self._index = index
        self._spec = isolation.effector_specs[index]
        self._process: EnvironmentProcess | None = None

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        process = self._process
        if process is None or process.failure is not None:
            if process is not None:
                process.leave(self)
            process = self._process = self._isolation.join(self)
        process.wait_ready(START_SECS)
        process.request(wire.OPEN, self._index)

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        process = self._process
        if process is None:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        self._spec.check(values)
        reply = process.request(wire.APPLY, self._index, stamp_ns, values.tobytes())
        tensor = self._spec.tensor
        return Action(
            spec=self._spec,
            values=np.frombuffer(reply.values, tensor.dtype).reshape(tensor.shape),
            stamp_ns=stamp_ns,
            is_held=reply.is_held,
            is_limited=reply.is_limited,
        )

    def abort(self) -> None:
        """Never raises: an environment that has failed does nothing more."""
        process = self._process
        if process is not None and process.failure is None and process.is_ready:
            with contextlib.suppress(SensorError):
                process.request(wire.ABORT, self._index)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.failure is None and process.is_ready:
            process.request(wire.CLOSE, self._index)
        ending = process.leave(self)
        if ending is not None and not ending.join(END_SECS):
            ending.abandon()
