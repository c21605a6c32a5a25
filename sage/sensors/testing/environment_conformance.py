"""The environment contract as checks, for this package and for plug-ins (`sage environments check KIND`).

Invariant: `check_environment` never raises and never hangs: a check that fails, raises or does not return is
a result. The actions are drawn over the whole range of each effector.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sage.mailbox.clock import Clock, ManualClock
from sage.sensors.config import EnvironmentConfig
from sage.sensors.contract import Effector, Reading, Sensor, SensorError, SensorSpec, SourceExhausted
from sage.sensors.driver.environments.host import specs_of
from sage.sensors.environment import RESET_QUANTITY, REWARD_QUANTITY, Environment
from sage.sensors.testing.bench import CheckResult, contract_is_this_one, require, run_check

#: Actions of one life, and the most that are done until a reset is delivered.
NUM_STEPS, MAX_STEPS = 16, 2000
#: Readings of one sensor in a row.
MAX_READINGS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBench:
    """What a check uses. make: makes a new environment from one configuration.  clock: the one in its
    context.
    """

    make: Callable[[], Environment]
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One reading. name: of its sensor.  values: its bytes.  is_reset: it says that the world has started
    again.
    """

    name: str
    sequence: int
    values: bytes
    is_reset: bool


class Life:
    """An open environment with its endpoints. `act` does one random action on each effector."""

    def __init__(
        self, bench: EnvironmentBench, environment: Environment | None = None, seed: int = 0
    ) -> None:
        self.environment = environment or bench.make()
        self.sensors: tuple[Sensor, ...] = self.environment.sensors()
        self.effectors: tuple[Effector, ...] = self.environment.effectors()
        self._clock = bench.clock
        self._rng = np.random.default_rng(seed)
        self._last: dict[str, Reading] = {}
        self._period_ns = min((sensor.spec.period_ns for sensor in self.sensors), default=10_000_000)

    def open(self) -> None:
        self.environment.open()
        for sensor in self.sensors:
            sensor.open()
        for effector in self.effectors:
            effector.open()

    def close(self) -> None:
        for sensor in self.sensors:
            sensor.close()
        for effector in self.effectors:
            effector.close()
        self.environment.close()

    def act(self) -> None:
        """A random action in each effector's range."""
        for effector in self.effectors:
            spec = effector.spec
            values = spec.scaled(self._rng.uniform(-1, 1, spec.size))
            action = effector.apply(values, self._clock.now_ns())
            require(action.spec == spec, f"{spec.name}: apply returned an Action of another spec")
            require(bool(np.isfinite(action.values).all()), f"{spec.name}: what was done is not finite")

    def step(self, *, acts: bool = True) -> list[Seen]:
        """An action, a period, and the readings that follow, checked one by one."""
        if acts:
            self.act()
        self._clock.wait_until(self._clock.now_ns() + self._period_ns + 1)
        return self.read()

    def read(self) -> list[Seen]:
        return [seen for sensor in self.sensors for seen in self._read(sensor)]

    def _read(self, sensor: Sensor) -> list[Seen]:
        spec = sensor.spec
        found: list[Seen] = []
        for _ in range(MAX_READINGS):
            out = np.zeros(spec.tensor.shape, spec.tensor.dtype)
            try:
                reading = sensor.read_into(out)
            except SourceExhausted:
                return found
            if reading is None:
                return found
            self._check(spec, reading, out)
            is_reset = spec.observes[0] == RESET_QUANTITY and bool(out.any())
            found.append(
                Seen(name=spec.name, sequence=reading.sequence, values=out.tobytes(), is_reset=is_reset)
            )
        return found

    def _check(self, spec: SensorSpec, reading: Reading, out: np.ndarray) -> None:
        last = self._last.get(spec.name)
        require(isinstance(reading, Reading), f"{spec.name}: read_into returned {type(reading).__name__}")
        require(out.dtype.kind != "f" or bool(np.isfinite(out).all()), f"{spec.name}: NaN or infinity")
        require(
            reading.captured_ns <= reading.received_ns <= self._clock.now_ns(),
            f"{spec.name}: captured_ns <= received_ns <= now does not hold",
        )
        if last is not None:
            require(reading.sequence > last.sequence, f"{spec.name}: sequence did not grow")
        self._last[spec.name] = reading


def check_environment(
    make: Callable[[], Environment], *, clock: Clock, timeout_secs: float = 60.0
) -> tuple[CheckResult, ...]:
    """Run all checks, each on environments of its own.

    make: makes a new environment, always from the same configuration, seed included.  clock: the one in its
    SensorContext; a ManualClock is advanced as needed.  timeout_secs: of real time, for one check.
    """
    bench = EnvironmentBench(make=make, clock=clock)
    return tuple(
        run_check(name, functools.partial(check, bench), timeout_secs=timeout_secs)
        for name, check in ENVIRONMENT_CHECKS.items()
    )


def specs_are_known_before_open(bench: EnvironmentBench) -> str:
    environment = bench.make()
    sensors, effectors = specs_of(environment)
    require(bool(sensors), "it has no sensor")
    again = environment.sensors()
    require(
        all(a is b for a, b in zip(environment.sensors(), again, strict=True)),
        "sensors() makes new sensors at each call: make them once",
    )
    require(specs_of(bench.make()) == (sensors, effectors), "a second instance has other specs")
    environment.open()
    try:
        require(specs_of(environment) == (sensors, effectors), "open() changed the specs")
    finally:
        environment.close()
    return f"{len(sensors)} sensors, {len(effectors)} effectors"


def config_is_an_environment_config(bench: EnvironmentBench) -> str:
    kind = type(bench.make())
    config = getattr(kind, "Config", None)
    require(
        isinstance(config, type) and issubclass(config, EnvironmentConfig),
        f"{kind.__name__}.Config: give an EnvironmentConfig",
    )
    return f"{kind.__name__}.Config"


def names_begin_with_the_environments_name(bench: EnvironmentBench) -> str:
    sensors, effectors = specs_of(bench.make())
    names = [*(spec.name for spec in sensors), *(spec.name for spec in effectors)]
    heads = {name.partition(".")[0] for name in names}
    require(
        len(heads) == 1 and all("." in name for name in names),
        f"names are {', '.join(names)}: give NAME.part, NAME that of the configuration",
    )
    return f"{heads.pop()}.*"


def reward_observes_reward(bench: EnvironmentBench) -> str:
    rewards = [
        spec
        for spec in specs_of(bench.make())[0]
        if spec.name.endswith(".reward") or spec.observes[0] == REWARD_QUANTITY
    ]
    for spec in rewards:
        require(
            spec.observes[0] == REWARD_QUANTITY and bool(spec.observes[1]),
            f"{spec.name} observes {spec.observes}: give ({REWARD_QUANTITY!r}, unit)",
        )
        require(
            spec.tensor.shape == (1,) and spec.tensor.dtype.startswith("float"),
            f"{spec.name}: a reward is one float, not {spec.tensor.shape} {spec.tensor.dtype}",
        )
    return ", ".join(spec.name for spec in rewards) or "no reward sensor"


def readings_are_finite_and_in_order(bench: EnvironmentBench) -> str:
    life = Life(bench)
    life.open()
    try:
        num = sum(len(life.step()) for _ in range(NUM_STEPS))
    finally:
        life.close()
    require(num > 0, f"no reading in {NUM_STEPS} steps")
    return f"{num} readings in {NUM_STEPS} steps"


def held_actions_change_nothing(bench: EnvironmentBench) -> str:
    """A world left alone and one whose effectors are held give equal readings."""
    if not isinstance(bench.clock, ManualClock):
        return "not checked: it needs a manual clock"
    alone, held = Life(bench), Life(bench)
    alone.open()
    without = [alone.step(acts=False) for _ in range(NUM_STEPS)]
    alone.close()
    held.open()
    try:
        for effector in held.effectors:
            effector.abort()
        require(
            [held.step() for _ in range(NUM_STEPS)] == without,
            "after abort an action still changes the world",
        )
    finally:
        held.close()
    return f"{NUM_STEPS} steps with and without actions"


def a_reset_is_delivered(bench: EnvironmentBench) -> str:
    resets = [spec for spec in specs_of(bench.make())[0] if spec.observes[0] == RESET_QUANTITY]
    if not resets:
        return "no reset sensor: a world that never starts again"
    for spec in resets:
        require(spec.tensor.shape == (1,), f"{spec.name}: a reset is one number, not {spec.tensor.shape}")
    life = Life(bench)
    life.open()
    try:
        life.read()  # the first reading may say that the world starts
        for step in range(1, MAX_STEPS + 1):
            if any(seen.is_reset for seen in life.step()):
                return f"after {step} steps"
    finally:
        life.close()
    return f"none in {MAX_STEPS} steps of random actions"


def closed_it_delivers_nothing(bench: EnvironmentBench) -> str:
    never, life = Life(bench), Life(bench)
    _require_silent(never, "before open")
    never.close()
    life.open()
    life.step()
    life.close()
    life.close()
    _require_silent(life, "after close")
    return "before open, and after close, which is safe twice"


def it_opens_again_in_its_first_state(bench: EnvironmentBench) -> str:
    life = Life(bench)
    life.open()
    first = _values(life.read())
    for _ in range(4):
        life.step()
    life.close()
    again = Life(bench, life.environment)
    again.open()
    try:
        require(_values(again.read()) == first, "opened again, its first readings differ")
    finally:
        again.close()
    return f"{len(first)} readings"


def equal_actions_give_equal_readings(bench: EnvironmentBench) -> str:
    if not isinstance(bench.clock, ManualClock):
        return "not checked: it needs a manual clock"
    lives = []
    for _ in range(2):
        life = Life(bench)
        life.open()
        lives.append([life.step() for _ in range(NUM_STEPS)])
        life.close()
    require(lives[0] == lives[1], "equal seeds and equal actions gave different readings")
    return f"{sum(map(len, lives[0]))} readings of {NUM_STEPS} steps"


#: In this order, by name.
ENVIRONMENT_CHECKS: dict[str, Callable[[EnvironmentBench], str]] = {
    check.__name__: check
    for check in (
        specs_are_known_before_open,
        config_is_an_environment_config,
        contract_is_this_one,
        names_begin_with_the_environments_name,
        reward_observes_reward,
        readings_are_finite_and_in_order,
        held_actions_change_nothing,
        a_reset_is_delivered,
        closed_it_delivers_nothing,
        it_opens_again_in_its_first_state,
        equal_actions_give_equal_readings,
    )
}


def _values(seen: list[Seen]) -> list[tuple[str, bytes]]:
    return [(each.name, each.values) for each in seen]


def _require_silent(life: Life, when: str) -> None:
    for sensor in life.sensors:
        out = np.zeros(sensor.spec.tensor.shape, sensor.spec.tensor.dtype)
        try:
            reading = sensor.read_into(out)
        except SensorError:
            continue
        require(reading is None, f"{sensor.spec.name}: delivers a reading {when}")
    for effector in life.effectors:
        spec = effector.spec
        values = spec.scaled(np.zeros(spec.size))
        try:
            action = effector.apply(values, 0)
        except SensorError:
            continue
        require(action.is_held, f"{spec.name}: acts {when}")
