"""Kinds of sensors and effectors: their descriptions, and a device of one kind from `--set` keys.

Invariant: a kind that cannot be imported is listed with the reason, never left out.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sage.app.config.errors import explain
from sage.app.config.overrides import apply_overrides
from sage.app.config.registry import Group, Plugin, plugins, resolve
from sage.app.config.yaml_file import YamlDocument
from sage.app.terminal.errors import UserError
from sage.errors import SageError, pass_on
from sage.sensors.config import DeviceConfig, EffectorConfig, EnvironmentConfig, SensorConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage.sensors.contract import SensorContext

_SHARED: dict[Group, type[DeviceConfig]] = {"environments": EnvironmentConfig, "effectors": EffectorConfig}


@dataclass(frozen=True, slots=True, kw_only=True)
class KindDescription:
    """about: what it senses, or why it cannot be imported.  keys: those of its configuration that other kinds
    lack.
    """

    kind: str
    origin: str
    about: str
    is_usable: bool = True
    keys: tuple[str, ...] = ()


def describe_kinds(group: Group = "sensors") -> tuple[KindDescription, ...]:
    """All kinds of sensors, or of another group, by name."""
    return tuple(_describe(group, plugin) for plugin in plugins(group).values())


def _describe(group: Group, plugin: Plugin) -> KindDescription:
    try:
        device = resolve(group, plugin.kind)
    except UserError as error:
        return KindDescription(kind=plugin.kind, origin=plugin.origin, about=str(error), is_usable=False)
    shared = _SHARED.get(group, SensorConfig)
    keys = tuple(key for key in device.Config.model_fields if key not in shared.model_fields)
    return KindDescription(kind=plugin.kind, origin=plugin.origin, about=_about(device), keys=keys)


def _about(sensor: type) -> str:
    """The first sentence of its module's docstring."""
    text = " ".join((inspect.getdoc(sys.modules[sensor.__module__]) or inspect.getdoc(sensor) or "").split())
    return text.split(". ")[0].rstrip(".")


def render_kinds(kinds: Sequence[KindDescription]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "from", "what"):
        table.add_column(heading, overflow="fold")
    for kind in kinds:
        table.add_row(kind.kind, kind.origin, escape(kind.about))
    Console().print(table)


def configure_kind(group: Group, kind: str, overrides: Sequence[str]) -> tuple[Any, Any]:
    """(class, its validated config) from `--set key=value`; the keys are those of an entry in a file."""
    device = resolve(group, kind)
    document = YamlDocument(data={"kind": kind}, source=f"{group.removesuffix('s')} {kind}")
    apply_overrides(document, overrides)
    try:
        return device, device.Config.model_validate(document.data)
    except ValidationError as error:
        raise UserError(explain(error, device.Config, document)) from None


def construct(device_class: Any, config: Any, context: SensorContext) -> Any:
    """The device. UserError for whatever its constructor raises."""
    name = f"{_group_of(config)} {config.kind}"
    try:
        return device_class(config, context)
    except SageError as error:
        raise UserError(f"{name}: {error}") from error
    except BaseException as error:  # around a plug-in
        pass_on(error)
        raise UserError(
            f"{name}: {device_class.__name__} cannot be made: {type(error).__name__}: {error}: correct"
            " the plug-in"
        ) from error


def _group_of(config: Any) -> str:
    if isinstance(config, EnvironmentConfig):
        return "environment"
    return "effector" if isinstance(config, EffectorConfig) else "sensor"
