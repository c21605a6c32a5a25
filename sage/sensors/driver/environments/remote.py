"""An environment in a process of its own: engines for the drivers of its sensors, and its effectors.

Invariant: the environment is used in its process alone; a poll delivers what has arrived and does not wait.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.mailbox.shared.memory.identity import my_identity
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
from sage.sensors.driver.environments.process import END_SECS, EnvironmentProcess
from sage.sensors.driver.isolation.engine import START_SECS
from sage.sensors.driver.ledger import Ledger
from sage.sensors.driver.supervision import Ending, Engine, PollLimit

#: Readings that one poll may deliver at least (PollLimit).
LEAST_PER_POLL = 32


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
            parent=my_identity(),
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
        self._limit = PollLimit(LEAST_PER_POLL, ledger.period_ns)
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
            for _ in range(self._limit.at(now_ns)):
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
        is_over = self._process.is_exhausted[self._index]  # read first: the last readings came before it
        inbox = self._process.inboxes[self._index]
        if not inbox:
            if is_over:
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
