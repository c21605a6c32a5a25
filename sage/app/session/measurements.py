"""The groups of sources that are fused: their plans, a check of them, and the drivers of their estimates.

Invariant: a group that does not fit the sensors of the run is a UserError before anything is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sage.app.config.entry import DeviceEntry
from sage.app.config.registry import Group, resolve
from sage.app.config.sage_config import SageConfig
from sage.app.session.making import NUM_SLOTS, explain, made, slot_bytes
from sage.app.terminal.errors import UserError, nearest
from sage.errors import InputError
from sage.mailbox.clock import Clock, RealClock
from sage.mailbox.contract import Peripheral
from sage.mailbox.hub import Hub
from sage.runtime.config import MemoryConfig
from sage.runtime.measurements_config import MeasurementConfig
from sage.runtime.tick.measurements import PlannedGroup
from sage.runtime.tick.memory_writer import recall_store
from sage.runtime.trust.commensurable.plan import MeasurementPlan, plan_of
from sage.sensors.board import Board
from sage.sensors.contract import SensorContext, SensorError, SensorSpec
from sage.sensors.driver.environments.host import specs_of
from sage.sensors.driver.sensor_driver import SensorDriver
from sage.sensors.driver.worker import close_quietly
from sage.sensors.estimate import EstimateConfig, EstimateSensor, EstimateSlot


def build_groups(
    groups: Sequence[MeasurementConfig],
    drivers: Sequence[SensorDriver],
    missing: Sequence[tuple[str, str]],
    *,
    hub: Hub,
    records: Peripheral,
    clock: Clock,
) -> tuple[list[PlannedGroup], list[SensorDriver]]:
    """The groups, and a driver for each one's estimate, which comes after `drivers`, those of the sensors.

    missing: optional sensors that this machine lacks, with the reason; groups do without them. UserError.
    """
    plans = _plans(
        groups, {driver.spec.name: driver.spec for driver in drivers}, {name for name, _ in missing}
    )
    planned = [PlannedGroup(plan=plan, slot=EstimateSlot()) for plan in plans]
    return planned, [
        _driver(each, hub, records, clock, producer=producer)
        for producer, each in enumerate(planned, len(drivers))
    ]


def check_groups(config: SageConfig) -> None:
    """UserError for a group that a run would refuse. Makes the groups' sensors, and opens none."""
    context = SensorContext(clock=RealClock(), epoch_ns=0, memory=recall_store(MemoryConfig()), board=Board())
    members = {source.name for group in config.measurements for source in group.sources}
    specs: dict[str, SensorSpec] = {}
    missing: set[str] = set()
    for entry in config.enabled_sensors:
        if entry.name in members and (sensor := _made("sensors", entry, context)) is not None:
            specs[entry.name] = sensor.spec
        elif entry.name in members:
            missing.add(entry.name)
    for entry in config.enabled_environments:
        used = {name for name in members if name.startswith(f"{entry.name}.")}
        world = _made("environments", entry, context) if used else None
        if world is None:
            missing |= used
            continue
        specs |= {spec.name: spec for spec in specs_of(world)[0]}
        close_quietly(world)
    _plans(config.measurements, specs, missing)


def _made(group: Group, entry: DeviceEntry, context: SensorContext) -> Any:
    """The device; None for an optional one that this machine lacks."""
    try:
        return made(group, entry, lambda: resolve(group, entry.kind)(entry.config, context))
    except SensorError as error:
        if not entry.optional:
            raise UserError(explain(group, entry, error)) from None
        return None


def _plans(
    groups: Sequence[MeasurementConfig], specs: Mapping[str, SensorSpec], missing: Collection[str]
) -> list[MeasurementPlan]:
    """specs: by the sources' names.  missing: names of sources that this machine lacks. UserError."""
    plans = []
    for group in groups:
        for source in group.sources:
            if source.name not in specs and source.name not in missing:
                raise UserError(
                    f"measurements.{group.name}.sources: there is no source {source.name}:"
                    f" {nearest(source.name, specs)}, or enable it"
                )
        if group.name in specs:
            raise UserError(
                f"measurements.{group.name}: it is the name of a sensor: give the group another name"
            )
        try:
            plans.append(plan_of(group, specs))
        except InputError as error:
            raise UserError(str(error)) from error
    return plans


def _driver(
    group: PlannedGroup, hub: Hub, records: Peripheral, clock: Clock, *, producer: int
) -> SensorDriver:
    spec = group.plan.spec
    return SensorDriver(
        lambda: EstimateSensor(spec, group.slot, clock),
        config=EstimateConfig(name=spec.name),
        peripheral=records,
        focus=hub.focus(spec.name, slots=NUM_SLOTS, slot_bytes=slot_bytes(spec)),
        clock=clock,
        producer=producer,
    )
