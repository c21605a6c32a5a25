"""The environments of a run: the drivers of their sensors, their effectors, and their puzzle streams.

Invariant: an environment of puzzles is used in the loop's process, every other in a process of its own; on a
manual clock all are used on the loop's thread, so that equal runs have equal digests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sage.app.config.entry import DeviceEntry
from sage.app.config.registry import resolve
from sage.app.config.sage_config import SageConfig
from sage.app.session.effectors import world_settings
from sage.app.session.making import NUM_SLOTS, SensorWorld, explain, made, slot_bytes
from sage.app.terminal.errors import UserError
from sage.errors import SageError
from sage.mailbox.clock import ManualClock
from sage.mailbox.contract import Peripheral
from sage.mailbox.hub import Hub
from sage.runtime.config import PolicyConfig
from sage.sensors.contract import Effector, EffectorSpec, SensorError
from sage.sensors.driver.environments.host import EnvironmentHost, specs_of
from sage.sensors.driver.environments.remote import EnvironmentIsolation, UnreadSensor
from sage.sensors.driver.isolation.plan import target_of
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.environment import ComparedEnvironment, Environment, PartialEnvironment, PuzzleEnvironment
from sage.sensors.limits import EffectorSettings
from sage.sensors.puzzle_messages import ANSWER_EFFECT

#: Of a puzzle stream: messages between two ticks.
STREAM_SLOTS, STREAM_RECORDS = 64, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleEndpoints:
    """One environment of puzzles. drivers: by the last part of the sensor's name."""

    name: str
    environment: PuzzleEnvironment
    host: EnvironmentHost
    drivers: dict[str, SensorDriver]
    answer: Effector


class EnvironmentBuilder:
    """Makes and connects environments; opens nothing.

    drivers, effectors: of environments without puzzles, for the loop.  puzzles: the others.
    missing: optional ones, and parts of others, that are not available, with the reason.
    settings: by effector.  compared: makes those with policies to compare the loop's with, by name.
    sensors, effectors: names of those of the run without environments.
    """

    def __init__(
        self,
        world: SensorWorld,
        hub: Hub,
        records: Peripheral,
        *,
        sensors: Sequence[str],
        effectors: Sequence[str],
    ) -> None:
        self.drivers: list[SensorDriver] = []
        self.effectors: list[Effector] = []
        self.puzzles: list[PuzzleEndpoints] = []
        self.missing: list[tuple[str, str]] = []
        self.compared: list[tuple[str, Callable[[], ComparedEnvironment]]] = []
        self.settings: dict[str, EffectorSettings] = {}
        self._world = world
        self._hub = hub
        self._records = records
        self._num_drivers = len(sensors)
        self._taken = {*sensors, *effectors}

    def build(self, config: SageConfig) -> None:
        """UserError for an environment that cannot be made, and for an effector that no policy rule
        matches.
        """
        for entry in config.enabled_environments:
            try:
                environment = self._made(entry)
                sensor_specs, effector_specs = made("environments", entry, partial(specs_of, environment))
            except SensorError as error:
                if not entry.optional:
                    raise UserError(explain("environments", entry, error)) from None
                self.missing.append((entry.name, str(error)))
                continue
            except UserError:
                raise
            except SageError as error:
                raise UserError(explain("environments", entry, error)) from error
            if isinstance(environment, PartialEnvironment):
                self.missing += environment.missing
            if isinstance(environment, ComparedEnvironment):
                self.compared.append((entry.name, partial(self._made_compared, entry)))
            self._take_names(entry, [spec.name for spec in sensor_specs])
            self._take_names(entry, [spec.name for spec in effector_specs])
            _check_policy(entry, effector_specs, config.policy)
            self.settings |= world_settings(entry, effector_specs)
            if isinstance(environment, PuzzleEnvironment):
                self._add_puzzles(entry, environment)
            elif isinstance(self._world.context.clock, ManualClock):
                self._add_inline(entry, environment)
            else:
                self._add_isolated(entry, environment)

    def _take_names(self, entry: DeviceEntry, names: list[str]) -> None:
        taken = self._taken.intersection(names)
        if taken:
            raise UserError(
                f"environments.{entry.name}: {min(taken)} is the name of another sensor or effector: give one"
                " of them another name"
            )
        self._taken.update(names)

    def _made(self, entry: DeviceEntry) -> Environment:
        kind = resolve("environments", entry.kind)

        def make() -> Environment:
            environment: Environment = kind(entry.config, self._world.context)
            return environment

        return made("environments", entry, make)

    def _made_compared(self, entry: DeviceEntry) -> ComparedEnvironment:
        environment = self._made(entry)
        assert isinstance(environment, ComparedEnvironment)
        return environment

    def _host(self, entry: DeviceEntry, environment: Environment) -> EnvironmentHost:
        make, hang_secs = partial(self._made, entry), entry.config.hang_secs
        return EnvironmentHost(entry.name, make, first=environment, hang_secs=hang_secs)

    def _add_puzzles(self, entry: DeviceEntry, environment: PuzzleEnvironment) -> None:
        host = self._host(entry, environment)
        records = self._hub.peripheral(f"{entry.name}.records", capacity=STREAM_RECORDS)
        drivers = {
            spec.name.rpartition(".")[2]: SensorDriver(
                partial(host.sensor, index),
                config=entry.config,
                peripheral=records,
                focus=self._hub.focus(spec.name, slots=STREAM_SLOTS, slot_bytes=slot_bytes(spec)),
                clock=self._world.context.clock,
                producer=index,
            )
            for index, spec in enumerate(host.sensor_specs)
        }
        self.puzzles.append(
            PuzzleEndpoints(
                name=entry.name,
                environment=environment,
                host=host,
                drivers=drivers,
                answer=host.effector(0),
            )
        )

    def _add_inline(self, entry: DeviceEntry, environment: Environment) -> None:
        host = self._host(entry, environment)
        for index, spec in enumerate(host.sensor_specs):
            if not spec.is_bounded:
                raise UserError(
                    f"environments.{entry.name}: {spec.name} waits for a device, which --fast cannot replay:"
                    " set enabled: false"
                )
            self.drivers.append(
                SensorDriver(
                    partial(host.sensor, index),
                    config=entry.config,
                    peripheral=self._records,
                    focus=self._hub.focus(spec.name, slots=NUM_SLOTS, slot_bytes=slot_bytes(spec)),
                    clock=self._world.context.clock,
                    producer=self._num_drivers + len(self.drivers),
                )
            )
        self.effectors += [host.effector(index) for index in range(len(host.effector_specs))]

    def _add_isolated(self, entry: DeviceEntry, environment: Environment) -> None:
        sensors, effectors = specs_of(environment)
        environment.close()
        try:
            target = target_of(type(environment))
        except SensorError as error:
            raise UserError(explain("environments", entry, error)) from error
        isolation = EnvironmentIsolation(
            target=target,
            config=entry.config,
            context=lambda: self._world.context,
            sensors=sensors,
            effectors=effectors,
        )
        for index, spec in enumerate(sensors):
            self.drivers.append(
                SensorDriver(
                    partial(UnreadSensor, spec),
                    config=entry.config,
                    peripheral=self._records,
                    focus=self._hub.focus(spec.name, slots=NUM_SLOTS, slot_bytes=slot_bytes(spec)),
                    clock=self._world.context.clock,
                    producer=self._num_drivers + len(self.drivers),
                    isolation=isolation.sensor(index),
                )
            )
        self.effectors += [isolation.effector(index) for index in range(len(effectors))]


def _check_policy(entry: DeviceEntry, effectors: tuple[EffectorSpec, ...], policy: PolicyConfig) -> None:
    for spec in effectors:
        if not any(
            rule.effect in ("*", spec.effect) and rule.target in ("*", spec.target) for rule in policy.rules
        ):
            raise UserError(
                f"environments.{entry.name}: no policy rule matches its effector {spec.name}: add to"
                f" policy.rules: {_rule_for(spec)}"
            )


def _rule_for(spec: EffectorSpec) -> str:
    states = ", states: [wake, focus, rest, dream]" if spec.effect == ANSWER_EFFECT else ""
    return f"{{decision: allow, effect: {spec.effect}, target: {spec.target}{states}}}"
