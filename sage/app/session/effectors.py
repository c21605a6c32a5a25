"""What a configuration adds to the effectors of a run: limits, needed modalities, dry runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from sage.app.config.entry import DeviceEntry
from sage.app.config.registry import Group
from sage.app.terminal.errors import UserError
from sage.errors import InputError
from sage.sensors.config import LimitsConfig
from sage.sensors.contract import EffectorSpec
from sage.sensors.limits import EffectorSettings


def device_settings(
    entries: Iterable[DeviceEntry], specs: Iterable[EffectorSpec]
) -> dict[str, EffectorSettings]:
    """Of effectors, by name; `specs` in the order of `entries`. UserError for limits that do not fit."""
    return {
        spec.name: _settings(entry.config, spec, "effectors", entry.name)
        for entry, spec in zip(entries, specs)
    }


def world_settings(entry: DeviceEntry, specs: Iterable[EffectorSpec]) -> dict[str, EffectorSettings]:
    """Of an environment's effectors, by name. UserError for limits that do not fit, or are of none."""
    given: Mapping[str, LimitsConfig] = entry.config.effectors
    by_part = {spec.name.removeprefix(f"{entry.name}."): spec for spec in specs}
    for part in given:
        if part not in by_part:
            raise UserError(
                f"environments.{entry.name}.effectors: there is no effector {part}: give one of"
                f" {', '.join(by_part) or 'none'}"
            )
    return {
        by_part[part].name: _settings(config, by_part[part], "environments", f"{entry.name}.effectors.{part}")
        for part, config in given.items()
    }


def all_dry(settings: Mapping[str, EffectorSettings], names: Iterable[str]) -> dict[str, EffectorSettings]:
    """The same for a dry run of every effector."""
    return {name: dataclasses.replace(settings.get(name, EffectorSettings()), is_dry=True) for name in names}


def _settings(config: LimitsConfig, spec: EffectorSpec, group: Group, name: str) -> EffectorSettings:
    try:
        limits = config.limits_for(spec.channels, len(spec.low))
        spec.check_limits(spec.limits.combined(limits))
    except InputError as error:
        raise UserError(f"{group}.{name}: {str(error).removeprefix(f'{spec.name}: ')}") from error
    return EffectorSettings(limits=limits, needs=config.needs, is_dry=config.dry_run)
