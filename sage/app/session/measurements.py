"""The groups of sources that are fused: their plans, and the drivers of their estimates.

Invariant: a group that does not fit the sensors of the run is a UserError before anything is opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from sage.app.session.making import NUM_SLOTS, slot_bytes
from sage.app.terminal.errors import UserError, nearest
from sage.errors import InputError
from sage.mailbox.clock import Clock
from sage.mailbox.contract import Peripheral
from sage.mailbox.hub import Hub
from sage.runtime.measurements_config import MeasurementConfig
from sage.runtime.tick.measurements import PlannedGroup
from sage.runtime.trust.commensurable.plan import plan_of
from sage.sensors.driver.sensor_driver import SensorDriver
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
    specs = {driver.spec.name: driver.spec for driver in drivers}
    absent = {name for name, _ in missing}
    planned: list[PlannedGroup] = []
    added: list[SensorDriver] = []
    for group in groups:
        for source in group.sources:
            if source.name not in specs and source.name not in absent:
                raise UserError(
                    f"measurements.{group.name}.sources: there is no source {source.name}:"
                    f" {nearest(source.name, specs)}, or enable it"
                )
        if group.name in specs:
            raise UserError(
                f"measurements.{group.name}: it is the name of a sensor: give the group another name"
            )
        try:
            each = PlannedGroup(plan=plan_of(group, specs), slot=EstimateSlot())
        except InputError as error:
            raise UserError(str(error)) from error
        planned.append(each)
        added.append(_driver(each, hub, records, clock, producer=len(drivers) + len(added)))
    return planned, added


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
