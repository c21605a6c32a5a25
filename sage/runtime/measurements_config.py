"""Settings of the groups of sources that measure one quantity with known noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sage.runtime.section import Section

Motion = Literal["constant", "constant_velocity"]

#: Of standard deviations: their squares, and products of these, are numbers.
LEAST, MOST = 1e-12, 1e12
#: Largest noise over smallest: far beyond it the filter has no digits left.
MAX_RATIO = 1e4


class MeasuredSource(Section):
    """One source of a group. Its name alone is enough where the other keys keep their defaults.

    channels: for each element of a reading, the value of the group that it measures, from 0.
    lineage: names that sources share whose errors are not independent, beside those of the sensor's own.
    """

    name: str = Field(min_length=1)
    noise_std: float | None = Field(
        None, ge=LEAST, le=MOST, description="in the reading's unit; null: what each reading claims"
    )
    measures: Literal["value", "rate"] = "value"
    channels: tuple[int, ...] = ()
    lineage: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _each_once(self) -> MeasuredSource:
        if len(set(self.channels)) < len(self.channels) or min(self.channels, default=0) < 0:
            raise ValueError(f"channels is {list(self.channels)}: give different numbers from 0")
        return self


class MeasurementConfig(Section):
    """A group: sources of one quantity, and how that quantity moves. Its estimate is a source of this name.

    motion_std: constant: standard deviation of what the quantity changes by in a second; constant_velocity:
    of what its rate changes by in a second.  jump_std: how far the quantity may be from where it is expected,
    at the start and where its sources reject the estimate together.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    sources: tuple[MeasuredSource, ...]
    motion: Motion = "constant"
    motion_std: float = Field(ge=LEAST, le=MOST)
    jump_std: float | None = Field(
        None, ge=LEAST, le=MOST, description="null: 100 times the largest noise_std"
    )

    @model_validator(mode="after")
    def _enough_sources(self) -> MeasurementConfig:
        names = [source.name for source in self.sources]
        if len(names) < 2:
            raise ValueError(f"sources has {len(names)}: give two or more that measure the same quantity")
        if twice := _repeated(names):
            raise ValueError(f"sources has {twice} twice: give each source once")
        if self.name in names:
            raise ValueError(f"name is {self.name}, which is one of its sources: give the estimate its own")
        stds = [source.noise_std for source in self.sources if source.noise_std is not None]
        if stds and max(*stds, self.jump_std or 0.0) > MAX_RATIO * min(stds):
            raise ValueError(
                f"noise_std and jump_std are {min(stds):g} to {max(*stds, self.jump_std or 0.0):g}: give"
                f" numbers that differ by at most {MAX_RATIO:g} times"
            )
        rates = [source.name for source in self.sources if source.measures == "rate"]
        if rates and self.motion == "constant":
            raise ValueError(
                f"sources.{rates[0]} measures a rate, which motion constant does not have: give motion"
                " constant_velocity"
            )
        if len(rates) == len(names):
            raise ValueError("every source measures a rate: give at least one that measures the value")
        return self


def _separate(groups: tuple[MeasurementConfig, ...]) -> tuple[MeasurementConfig, ...]:
    """ValueError for two groups of one name, and for a source in two groups."""
    if twice := _repeated([group.name for group in groups]):
        raise ValueError(f"the name {twice} is used twice: give each group its own name")
    if twice := _repeated([source.name for group in groups for source in group.sources]):
        raise ValueError(f"{twice} is a source of two groups: give it to one of them")
    estimates = {group.name for group in groups}
    for group in groups:
        for source in group.sources:
            if source.name in estimates:
                raise ValueError(f"{group.name}: {source.name} is the estimate of a group: give a sensor")
    return groups


def _repeated(names: Sequence[str]) -> str:
    """The first name that is there twice, "" for none."""
    return next((name for name, count in Counter(names).items() if count > 1), "")


MeasurementGroups = Annotated[tuple[MeasurementConfig, ...], AfterValidator(_separate)]
