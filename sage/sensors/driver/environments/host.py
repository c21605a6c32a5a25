"""An environment in the loop's process, shared by the drivers of its sensors and effectors.

Invariant: a fault of one endpoint is a fault of all: the environment is closed, the others raise at their
next call, and the first that is opened again makes a new one. Calls run one at a time, so that an effector
may be called on a thread of its own. A sensor does not wait for it: it has no reading meanwhile. A call
that has not returned within `hang_secs` (an opening: five times that) is a fault; the environment is closed
once it has returned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from sage.errors import InputError, pass_on
from sage.sensors.contract import (
    Action,
    Effector,
    EffectorSpec,
    Reading,
    Sensor,
    SensorError,
    SensorSpec,
    SourceExhausted,
    spec_of,
)
from sage.sensors.driver.supervision import OPEN_FACTOR
from sage.sensors.environment import Counting, Environment, Resumable

ResultT = TypeVar("ResultT")


class Instance:
    """One environment from open to its end, with the endpoints that use it."""

    def __init__(self, name: str, environment: Environment, hang_secs: float) -> None:
        self.sensors = environment.sensors()
        self.effectors = environment.effectors()
        self.failure: str | None = None
        self.state: dict[str, np.ndarray] = {}  # at the fault, of a Resumable
        self.environment = environment
        self._name = name
        self._hang_secs = hang_secs
        self._lock = threading.RLock()
        self.is_closed = False
        #: When the call in progress began, on time.monotonic, and how long it may take.
        self._begun_secs: float | None = None
        self._limit_secs = hang_secs
        self._users: set[int] = set()
        environment.open()

    def open(self, user: object, function: Callable[[], None]) -> None:
        """`call` of an endpoint's `open`, which may take longer than others."""
        self.call(user, function, limit_secs=OPEN_FACTOR * self._hang_secs)

    def call(
        self,
        user: object,
        function: Callable[..., ResultT],
        *args: Any,
        limit_secs: float | None = None,
    ) -> ResultT:
        """Run a call of an endpoint. What it raises ends this instance, except the end of a recording.

        Waits for a call in progress until that has lasted for its limit; then this instance has failed.
        limit_secs: of this call, hang_secs where None.
        """
        if not self._lock.acquire(timeout=self._left_secs()):
            self._fail_hung()
            self._raise_failure()
        try:
            self._raise_failure()
            self._users.add(id(user))
            self._limit_secs = self._hang_secs if limit_secs is None else limit_secs
            return self._called(function, *args)
        finally:
            self._lock.release()

    def call_if_free(self, user: object, function: Callable[..., ResultT], *args: Any) -> ResultT | None:
        """As `call`, without waiting: None while another call is in progress."""
        if self._lock.acquire(blocking=False):
            try:
                return self.call(user, function, *args)
            finally:
                self._lock.release()
        if self._left_secs() <= 0:
            self._fail_hung()
        self._raise_failure()
        return None

    def leave(self, user: object) -> None:
        """The last endpoint that leaves closes the environment; a call that hangs does so when it returns."""
        if not self._lock.acquire(timeout=self._left_secs()):
            self._fail_hung()
            return
        try:
            self._users.discard(id(user))
            if not self._users and self.failure is None:
                self.failure = "closed"
                self.is_closed = True
                self.environment.close()
        finally:
            self._lock.release()

    def current_state(self) -> dict[str, np.ndarray]:
        """Of a Resumable that is open, else as it was at its fault, or empty."""
        if not self._lock.acquire(timeout=self._left_secs()):
            self._fail_hung()
            return self.state
        try:
            return state_of(self.environment) if self.failure is None else self.state
        finally:
            self._lock.release()

    def _called(self, function: Callable[..., ResultT], *args: Any) -> ResultT:
        self._begun_secs = time.monotonic()
        try:
            result = function(*args)
        except SourceExhausted:
            raise
        except BaseException as error:  # around a plug-in: raised to the driver, which counts and shows it
            pass_on(error)
            self._fail(error)
            raise
        finally:
            self._begun_secs = None
        if self.failure is not None:  # it was given up meanwhile
            self._close_failed()
            self._raise_failure()
        return result

    def _left_secs(self) -> float:
        """How long a call may wait for the one in progress."""
        begun_secs = self._begun_secs
        passed_secs = 0.0 if begun_secs is None else time.monotonic() - begun_secs
        return max(0.0, self._limit_secs - passed_secs)

    def _fail_hung(self) -> None:
        if self.failure is None:
            self.failure = f"a call has not returned within {self._limit_secs:g} s"

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise SensorError(f"{self._name}: in quarantine after a fault: {self.failure}")

    def _fail(self, error: BaseException) -> None:
        self.failure = str(error) if isinstance(error, SensorError) else f"{type(error).__name__}: {error}"
        try:
            self.state = state_of(self.environment)
        except BaseException as second:  # around a plug-in that has failed already
            pass_on(second)
        self._close_failed()

    def _close_failed(self) -> None:
        self.is_closed = True
        try:
            self.environment.close()
        except BaseException as closing:  # around a plug-in that has failed already
            pass_on(closing)
            self.failure = f"{self.failure}; close: {type(closing).__name__}: {closing}"


class EnvironmentHost:
    """The endpoints of one environment, as sensors and effectors of their own.

    make: makes a new environment.  first: one that `make` made, used for the first opening; else `make` is
    called once for the specs.  hang_secs: of real time; a call that takes longer is a fault of all.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Environment],
        *,
        first: Environment | None = None,
        hang_secs: float = 2.0,
    ) -> None:
        self._hang_secs = hang_secs
        self._name = name
        self._make = make
        self._first = first
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self.sensor_specs, self.effector_specs = specs_of(first or make())

    def sensor(self, index: int) -> Sensor:
        """For a SensorDriver, which makes it anew at each restart."""
        return HostedSensor(self, index)

    def effector(self, index: int) -> Effector:
        return HostedEffector(self, index)

    def totals(self) -> Mapping[str, int]:
        """What the environment opened last counted; empty where it counts nothing."""
        environment = self._instance.environment if self._instance is not None else None
        return environment.totals() if isinstance(environment, Counting) else {}

    def instance(self) -> Instance:
        """The open environment; a new one after a fault."""
        with self._lock:
            if self._instance is None or self._instance.failure is not None:
                environment, self._first = self._first or self._make(), None
                check_specs(self._name, environment, self.sensor_specs, self.effector_specs)
                state = {} if self._instance is None else self._instance.state
                if state and isinstance(environment, Resumable):
                    environment.load_state(state)
                self._instance = Instance(self._name, environment, self._hang_secs)
            return self._instance

    def state(self) -> dict[str, np.ndarray]:
        """Of a Resumable environment: now, or at its last fault; empty before the first opening."""
        return {} if self._instance is None else self._instance.current_state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Before the first opening: a Resumable environment begins there. InputError where it does not
        fit.
        """
        environment = self._first or self._make()
        if isinstance(environment, Resumable):
            environment.load_state(state)
        self._first = environment


class HostedSensor:
    """A sensor of the environment. Its readings are finite."""

    def __init__(self, host: EnvironmentHost, index: int) -> None:
        self._host = host
        self._index = index
        self._spec = host.sensor_specs[index]
        self._instance: Instance | None = None

    @property
    def spec(self) -> SensorSpec:
        return self._spec

    def open(self) -> None:
        self._instance = self._host.instance()
        self._instance.open(self, self._instance.sensors[self._index].open)

    def read_into(self, out: np.ndarray) -> Reading | None:
        if self._instance is None:
            raise SensorError(f"{self._spec.name}: read while closed: call open() first")
        return self._instance.call_if_free(self, self._read, self._instance.sensors[self._index], out)

    def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            try:
                if instance.failure is None:
                    instance.call(self, instance.sensors[self._index].close)
            finally:
                instance.leave(self)

    def _read(self, sensor: Sensor, out: np.ndarray) -> Reading | None:
        reading = sensor.read_into(out)
        if reading is not None and out.dtype.kind == "f" and not np.isfinite(out).all():
            raise SensorError(f"{self._spec.name}: a reading has NaN or infinity")
        return reading


class HostedEffector:
    """An effector of the environment."""

    def __init__(self, host: EnvironmentHost, index: int) -> None:
        self._host = host
        self._index = index
        self._spec = host.effector_specs[index]
        self._instance: Instance | None = None

    @property
    def spec(self) -> EffectorSpec:
        return self._spec

    def open(self) -> None:
        if self._instance is not None and self._instance.failure is not None:
            self._instance = None
        self._instance = self._instance or self._host.instance()
        self._instance.open(self, self._instance.effectors[self._index].open)

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        instance = self._instance
        if instance is None:
            raise SensorError(f"{self._spec.name}: apply while closed: call open() first")
        return instance.call(self, instance.effectors[self._index].apply, values, stamp_ns)

    def abort(self) -> None:
        """Also of an environment that has failed because a call hangs: its device still acts."""
        instance = self._instance
        if instance is not None and not instance.is_closed:
            instance.effectors[self._index].abort()

    def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            try:
                if instance.failure is None:
                    instance.call(self, instance.effectors[self._index].close)
            finally:
                instance.leave(self)


def state_of(environment: Environment) -> dict[str, np.ndarray]:
    """Empty for an environment that is not Resumable."""
    return environment.state() if isinstance(environment, Resumable) else {}


def specs_of(environment: Environment) -> tuple[tuple[SensorSpec, ...], tuple[EffectorSpec, ...]]:
    """Of its sensors and of its effectors. InputError where two have one name."""
    sensors = tuple(spec_of(sensor, SensorSpec) for sensor in environment.sensors())
    effectors = tuple(spec_of(effector, EffectorSpec) for effector in environment.effectors())
    names = [*(spec.name for spec in sensors), *(spec.name for spec in effectors)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice}: two sensors or effectors of an environment have this name: rename one")
    return sensors, effectors


def check_specs(
    name: str,
    environment: Environment,
    sensors: tuple[SensorSpec, ...],
    effectors: tuple[EffectorSpec, ...],
) -> None:
    """SensorError unless a new environment has the specs of the one before it."""
    if specs_of(environment) != (sensors, effectors):
        raise SensorError(f"{name}: made again, its sensors or effectors have other specs")
