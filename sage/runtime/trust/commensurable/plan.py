"""What a group of measurements is made of: its sources' places in the state, and their common errors.

Invariant: a plan is consistent with its sources' specifications; whatever is wrong with a configuration is an
InputError here, before a device is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.measurements_config import MeasuredSource, MeasurementConfig, Motion
from sage.sensors.contract import SensorSpec
from sage.sensors.driver.ledger import FLOOD_FACTOR

#: Of one group: the filter inverts matrices of as many rows, twice as many with rates.
MAX_VALUES = 12
DEFAULT_JUMP = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One source. channels: the value of the group that each element measures.  noise_std: None: as claimed.
    lineage: sources of one name share their errors.
    """

    name: str
    channels: tuple[int, ...]
    is_rate: bool
    noise_std: float | None
    lineage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPlan:
    """One group, as the configuration states it. spec: of its estimate, with C values."""

    spec: SensorSpec
    members: tuple[Member, ...]
    motion: Motion
    motion_std: float
    jump_std: float | None

    @property
    def num_values(self) -> int:
        return self.spec.tensor.num_elements

    @property
    def num_states(self) -> int:
        """The values, and with motion constant_velocity their rates after them."""
        return self.num_values * (2 if self.motion == "constant_velocity" else 1)

    def matrix(self) -> np.ndarray:
        """(N, M, D): a reading of a source is this times the state."""
        matrix = np.zeros(
            (len(self.members), max(len(each.channels) for each in self.members), self.num_states)
        )
        for index, member in enumerate(self.members):
            first = self.num_values if member.is_rate else 0
            for row, channel in enumerate(member.channels):
                matrix[index, row, first + channel] = 1.0
        return matrix

    def transition(self, secs: float) -> tuple[np.ndarray, np.ndarray]:
        """(D, D) the motion over a time, and (D, D) the covariance that it adds."""
        moved, added = np.eye(self.num_states), np.zeros((self.num_states, self.num_states))
        variance, values = self.motion_std**2, np.arange(self.num_values)
        added[values, values] = variance * secs
        if self.motion == "constant_velocity":
            rates = values + self.num_values
            moved[values, rates] = secs
            added[rates, rates] = variance * secs
            added[values, values] = variance * secs**3 / 3
            added[values, rates] = added[rates, values] = variance * secs**2 / 2
        return moved, added

    def lag_variance(self, lag_secs: np.ndarray) -> np.ndarray:
        """(N,) variance that the motion since a reading adds to it, for readings of that age."""
        is_value = np.array([not member.is_rate for member in self.members])
        if self.motion == "constant_velocity":
            return np.where(is_value, lag_secs**3 / 3, lag_secs) * self.motion_std**2
        variance: np.ndarray = lag_secs * self.motion_std**2
        return variance


def plan_of(config: MeasurementConfig, specs: Mapping[str, SensorSpec]) -> MeasurementPlan:
    """The plan of a group. specs: of its sources that the run has. InputError where they do not fit."""
    members, sizes = [], {}
    for source in config.sources:
        if source.name in specs:
            members.append(_member(config, source, specs[source.name]))
            sizes[source.name] = max(members[-1].channels) + 1
    values = {name: size for name, size in sizes.items() if _source(config, name).measures != "rate"}
    if not values:
        raise InputError(
            f"measurements.{config.name}: the run has none of its sources that measure the value"
        )
    num_values = max(values.values())
    if max(sizes.values()) > MAX_VALUES:
        raise InputError(
            f"measurements.{config.name}: {max(sizes.values())} values: give at most {MAX_VALUES}"
        )
    _check_shapes(config, sizes, num_values)
    measured = {channel for each in members if not each.is_rate for channel in each.channels}
    if missing := sorted(set(range(num_values)) - measured):
        raise InputError(
            f"measurements.{config.name}: no source measures value {missing[0]}: give channels 0 to"
            f" {num_values - 1} a source"
        )
    lineages = _lineages([(member, specs[member.name], _source(config, member.name)) for member in members])
    return MeasurementPlan(
        spec=_spec(config, members, specs, num_values),
        members=tuple(
            Member(
                name=member.name,
                channels=member.channels,
                is_rate=member.is_rate,
                noise_std=member.noise_std,
                lineage=lineages[member.name],
            )
            for member in members
        ),
        motion=config.motion,
        motion_std=config.motion_std,
        jump_std=config.jump_std,
    )


def _source(config: MeasurementConfig, name: str) -> MeasuredSource:
    return next(source for source in config.sources if source.name == name)


def _member(config: MeasurementConfig, source: MeasuredSource, spec: SensorSpec) -> Member:
    where = f"measurements.{config.name}.sources.{source.name}"
    size = spec.tensor.num_elements
    if source.channels and len(source.channels) != size:
        raise InputError(
            f"{where}.channels has {len(source.channels)} numbers for readings of {size}: give one for each"
        )
    if np.dtype(spec.tensor.dtype).kind not in "fiu":
        raise InputError(f"{where}: readings are {spec.tensor.dtype}: give a source of numbers")
    return Member(
        name=source.name,
        channels=source.channels or tuple(range(size)),
        is_rate=source.measures == "rate",
        noise_std=source.noise_std,
        lineage="",
    )


def _check_shapes(config: MeasurementConfig, sizes: Mapping[str, int], num_values: int) -> None:
    """Without `channels` every source measures all values; with them, none that no other measures."""
    first = next(iter(sizes))
    for name, size in sizes.items():
        is_whole = not _source(config, name).channels
        if size > num_values or (is_whole and size != num_values):
            largest = max(sizes, key=lambda each: sizes[each])
            other = largest if largest != name else first
            raise InputError(
                f"measurements.{config.name}: {name} has {size} channels, {other} {sizes[other]}: give"
                " sources of one shape, or `channels`: which of the values each of them measures"
            )


def _spec(
    config: MeasurementConfig, members: Sequence[Member], specs: Mapping[str, SensorSpec], num_values: int
) -> SensorSpec:
    own = [specs[member.name] for member in members if not member.is_rate]
    periods_ns = [specs[member.name].period_ns for member in members]
    units = {spec.observes[1]: spec.name for spec in own}
    if len(units) > 1:
        (unit, name), (other, another) = list(units.items())[:2]
        raise InputError(
            f"measurements.{config.name}: {name} is in {unit}, {another} in {other}: give sources of one unit"
        )
    named = next((spec for spec in own if len(spec.channels) == num_values), None)
    return SensorSpec(
        name=config.name,
        modality="temporal",
        tensor=TensorSpec(shape=(num_values,)),
        # Sources out of phase have an estimate each: all of them pass the driver's limit on floods.
        period_ns=max(1, min(periods_ns) * FLOOD_FACTOR // max(FLOOD_FACTOR, len(members))),
        observes=(f"fused {own[0].observes[0]}", own[0].observes[1]),
        lineage=tuple(source.name for source in config.sources if source.name in specs),
        channels=() if named is None else named.channels,
        is_bounded=True,
    )


def _lineages(members: Sequence[tuple[Member, SensorSpec, MeasuredSource]]) -> dict[str, str]:
    """A name for each source, equal for sources that are derived from each other or from a common one."""
    groups: list[tuple[set[str], list[str]]] = []  # names that are shared, and the sources that share them
    for member, spec, source in members:
        shared, found = {member.name, *spec.lineage, *source.lineage}, [member.name]
        for other in [each for each in groups if each[0] & shared]:
            groups.remove(other)
            shared |= other[0]
            found = other[1] + found
        groups.append((shared, found))
    return {name: found[0] for _, found in groups for name in found}
