"""From a configuration to a loop: the only place that turns names into sensors and effectors.

Invariant: an entry that cannot be built raises UserError before anything is opened, except optional ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import torch

from sage.app.config.entry import DeviceEntry
from sage.app.config.registry import resolve
from sage.app.config.sage_config import SageConfig
from sage.app.config.state_dir import CALIBRATION_NAME, SOLVING_NAME
from sage.app.diagnosis.faults import FaultBoard
from sage.app.dreams.bodies import BodyDreamer
from sage.app.session.effectors import all_dry, device_settings
from sage.app.session.environments import EnvironmentBuilder, PuzzleEndpoints
from sage.app.session.making import NUM_SLOTS, SensorWorld, explain, made, slot_bytes
from sage.app.session.measurements import build_groups
from sage.app.session.relays import check_watched, take_relays
from sage.app.session.streams import build_streams
from sage.app.terminal.errors import UserError
from sage.errors import InputError, SageError
from sage.mailbox.clock import Clock, ManualClock
from sage.mailbox.contract import Peripheral
from sage.mailbox.errors import MailboxError
from sage.mailbox.hub import Hub
from sage.memory.stores.recall import RecallStore
from sage.runtime.inputs import LoopInputs
from sage.runtime.loop import Loop
from sage.runtime.prediction.predictor import ScoredListener
from sage.runtime.report import Instrument
from sage.runtime.tick.effects import EffectLog
from sage.runtime.tick.memory_writer import CARRY_EVERY, recall_store
from sage.sensors.board import Board
from sage.sensors.contract import (
    Effector,
    EffectorSpec,
    Sensor,
    SensorContext,
    SensorError,
    SensorSpec,
    spec_of,
)
from sage.sensors.devices.host_limits import HostLimits
from sage.sensors.driver.calibration import CalibrationFolder
from sage.sensors.driver.isolation.engine import Isolation
from sage.sensors.driver.isolation.plan import target_of
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.environment import ComparedEnvironment

log = structlog.get_logger("sage.app")
RING_CAPACITY = 4096
#: Records of an isolated source between two ticks.
ISOLATED_CAPACITY = 256
MANUAL_START_NS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A loop with its mailboxes. missing: optional sensors and figures to limit that this machine lacks, with
    the reason.
    compared: by name, makes the environments that have policies to compare the loop's with.
    puzzles: its puzzle environments.
    """

    loop: Loop
    hub: Hub
    missing: tuple[tuple[str, str], ...]
    world: SensorWorld
    compared: tuple[tuple[str, Callable[[], ComparedEnvironment]], ...] = ()
    puzzles: tuple[PuzzleEndpoints, ...] = ()

    @property
    def temporal_sources(self) -> tuple[str, ...]:
        """Names of the sources that observe time or memory, not the world."""
        return tuple(spec.name for spec in self.loop.layout.specs if spec.modality != "physical")

    def open(self) -> None:
        """Set the run's epoch, then start its sensors: a recording must not play while the model is built."""
        self.loop.solving.prepare()
        self.world.begin(self.loop.clock.now_ns())
        for driver in self.loop.senses.drivers:
            driver.renew()
        self.loop.open()

    def close(self) -> None:
        try:
            self.loop.close()
        finally:
            self.hub.close()


def choose_device() -> torch.device:
    """CUDA when a test kernel runs there, else the CPU."""
    if torch.cuda.is_available():
        try:
            torch.ones(1, device="cuda").add_(1)
            return torch.device("cuda")
        except RuntimeError as error:
            log.warning(
                "CUDA device found, but a test kernel failed; using the CPU", error=str(error).splitlines()[0]
            )
    return torch.device("cpu")


def build_run(
    config: SageConfig,
    clock: Clock,
    *,
    directory: Path,
    instruments: Sequence[Instrument] = (),
    on_scored: ScoredListener | None = None,
    base_dir: Path | None = None,
    effect_log: EffectLog | None = None,
) -> Run:
    """Everything `config` names, built and connected; nothing is opened. directory: for the files of sleep.

    With a manual clock sensors and sleep run inline, so that equal runs have equal digests.
    Raises UserError.
    """
    _check_sizes(config)
    is_manual = isinstance(clock, ManualClock)
    config = _inline(config) if is_manual else config
    recall, board = _recall_store(config), Board()
    context = SensorContext(
        clock=clock, epoch_ns=clock.now_ns(), base_dir=base_dir or Path.cwd(), memory=recall, board=board
    )
    hub = Hub(clock)
    records = hub.peripheral("records", capacity=RING_CAPACITY)
    calibrations = None if is_manual else CalibrationFolder(directory.with_name(CALIBRATION_NAME))
    sensor_world = SensorWorld(context, calibrations, FaultBoard() if config.diagnosis.allow_inject else None)
    drivers, missing = build_drivers(config.enabled_sensors, sensor_world, hub, records, is_manual)
    effectors = [_build_effector(entry, context) for entry in config.enabled_effectors]
    settings = device_settings(config.enabled_effectors, [effector.spec for effector in effectors])
    worlds = EnvironmentBuilder(
        sensor_world,
        hub,
        records,
        sensors=[driver.spec.name for driver in drivers],
        effectors=[effector.spec.name for effector in effectors],
    )
    worlds.build(config)
    drivers, effectors = drivers + worlds.drivers, effectors + worlds.effectors
    missing += worlds.missing
    if not drivers:
        raise UserError("sensors: none is enabled or available: enable at least one, e.g. {kind: host}")
    groups, fused = build_groups(config.measurements, drivers, missing, hub=hub, records=records, clock=clock)
    drivers += fused
    settings |= worlds.settings
    if config.policy.dry_run:
        settings = all_dry(settings, _names(effectors, worlds))
    relays = take_relays(effectors, settings)
    check_watched(context.latest, [driver.spec.name for driver in drivers])
    inputs = LoopInputs(
        clock=clock,
        drivers=drivers,
        records=records,
        recall=recall,
        board=board,
        directory=directory,
        effectors=effectors,
        instruments=instruments,
        device=choose_device(),
        on_scored=on_scored,
        effector_settings=settings,
        effect_log=effect_log,
        relays=relays,
        latest=context.latest,
        work=context.work,
        measurements=groups,
        machine=HostLimits(config.guards.sysfs_root),
        streams=build_streams(config, worlds.puzzles, hub, clock, directory.with_name(SOLVING_NAME)),
        dreamer=BodyDreamer(config, context.base_dir, build_run) if config.dreams.ticks else None,
    )
    return _connected(_build_loop(config, inputs), hub, missing, sensor_world, worlds)


def _connected(
    loop: Loop,
    hub: Hub,
    missing: Sequence[tuple[str, str]],
    world: SensorWorld,
    environments: EnvironmentBuilder,
) -> Run:
    return Run(
        loop=loop,
        hub=hub,
        missing=(*missing, *loop.between_ticks.unreadable),
        world=world,
        compared=tuple(environments.compared),
        puzzles=tuple(environments.puzzles),
    )


def _names(effectors: Sequence[Effector], worlds: EnvironmentBuilder) -> list[str]:
    """Of all effectors, those that take answers too."""
    return [each.spec.name for each in (*effectors, *(world.answer for world in worlds.puzzles))]


def _build_loop(config: SageConfig, inputs: LoopInputs) -> Loop:
    try:
        loop = Loop(config, inputs)
    except SageError as error:  # sizes that are valid one by one, not together
        raise UserError(f"{config.name}: {error}") from error
    if isinstance(inputs.dreamer, BodyDreamer):
        inputs.dreamer.bind(loop)
    return loop


def _inline(config: SageConfig) -> SageConfig:
    sections = {
        name: getattr(config, name).model_copy(update={"where": "inline"})
        for name in ("sleep", "solver_training")
    }
    return config.model_copy(update=sections)


def _check_sizes(config: SageConfig) -> None:
    """Raises for sizes of practice and memory that would fail, or never learn, once the loop runs."""
    length, burn_in, room = (
        config.practice.window_ticks,
        config.practice.burn_in_ticks,
        config.memory.num_transitions,
    )
    if burn_in >= length:
        raise UserError(
            f"practice.burn_in_ticks is {burn_in}: give less than practice.window_ticks, {length}"
        )
    if room <= length + CARRY_EVERY:
        raise UserError(
            f"memory.num_transitions is {room}: give more than {length + CARRY_EVERY}, for"
            " practice.window_ticks"
        )


def _recall_store(config: SageConfig) -> RecallStore:
    try:
        return recall_store(config.memory)
    except InputError as error:
        raise UserError(str(error)) from error


def _build_effector(entry: DeviceEntry, context: SensorContext) -> Effector:
    def make() -> Effector:
        effector: Effector = resolve("effectors", entry.kind)(entry.config, context)
        spec_of(effector, EffectorSpec)
        return effector

    try:
        return made("effectors", entry, make)
    except SensorError as error:
        raise UserError(explain("effectors", entry, error)) from error


def build_drivers(
    entries: Sequence[DeviceEntry], world: SensorWorld, hub: Hub, records: Peripheral, is_manual: bool
) -> tuple[list[SensorDriver], list[tuple[str, str]]]:
    drivers: list[SensorDriver] = []
    missing: list[tuple[str, str]] = []
    for entry in entries:
        kind = resolve("sensors", entry.kind)
        board = None if entry.config.isolate and not is_manual else world.faults

        def make(kind: type = kind, entry: DeviceEntry = entry, board: FaultBoard | None = board) -> Sensor:
            sensor: Sensor = kind(entry.config, world.context)
            return sensor if board is None else board.wrap(sensor)

        try:
            spec = made("sensors", entry, partial(_spec_made, make))
        except SensorError as error:
            if not entry.optional:
                raise UserError(explain("sensors", entry, error)) from None
            missing.append((entry.name, str(error)))
            continue
        if is_manual and not spec.is_bounded:
            raise UserError(
                f"sensors.{entry.name}: {entry.kind} reads a device, which --fast cannot replay: set enabled:"
                " false"
            )
        isolation = (
            _isolation(entry, kind, spec, world, hub) if entry.config.isolate and not is_manual else None
        )
        focus = (
            isolation.focus
            if isolation
            else hub.focus(spec.name, slots=NUM_SLOTS, slot_bytes=slot_bytes(spec))
        )
        drivers.append(
            SensorDriver(
                make,
                config=entry.config,
                peripheral=records,
                focus=focus,
                clock=world.context.clock,
                producer=len(drivers),
                isolation=isolation,
                calibrations=world.calibrations,
            )
        )
    return drivers, missing


def _spec_made(make: Callable[[], Sensor]) -> SensorSpec:
    return spec_of(make(), SensorSpec)


def _isolation(entry: DeviceEntry, kind: type, spec: SensorSpec, world: SensorWorld, hub: Hub) -> Isolation:
    """Shared mailboxes for a sensor in a process of its own (never on a manual clock).

    The interpreted engine is fast enough for a sensor, and its process starts without a compiler.
    """
    try:
        return Isolation(
            target=target_of(kind),
            config=entry.config,
            context=lambda: world.context,
            records=hub.shared_peripheral(f"{spec.name}.records", capacity=ISOLATED_CAPACITY, engine="plain"),
            focus=hub.shared_focus(spec.name, slots=NUM_SLOTS, slot_bytes=slot_bytes(spec), engine="plain"),
            calibrations=str(world.calibrations.folder) if world.calibrations else "",
        )
    except (SensorError, MailboxError) as error:
        raise UserError(f"sensors.{entry.name}: {error}") from error
