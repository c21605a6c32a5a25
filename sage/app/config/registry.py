"""Which plug-ins there are: a name for each kind, and the class behind it, imported when it is asked for.

Invariant: looking a name up imports nothing but that kind's own module. Built-in names win over an entry
point's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from sage.app.terminal.errors import UserError, nearest

Group = Literal["sensors", "effectors", "instruments", "tasks"]

#: Tasks are not among them: their catalogue is its own, on a lower floor.
_BUILT_IN: dict[Group, dict[str, str]] = {
    "sensors": {
        "audio": "sage.sensors.devices.audio:AudioSensor",
        "clock": "sage.sensors.devices.clock:ClockSensor",
        "host": "sage.sensors.devices.host:HostSensor",
        "memory": "sage.memory.sensor:MemorySensor",
        "synthetic": "sage.sensors.devices.synthetic:SyntheticSensor",
        "table": "sage.sensors.devices.table:TableSensor",
        "video": "sage.sensors.devices.video:VideoSensor",
    },
    "effectors": {"recording": "sage.sensors.effectors.recording:RecordingEffector"},
    "instruments": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One kind. target: "module:Class".  origin: the distribution it comes from."""

    kind: str
    target: str
    origin: str


@cache
def plugins(group: Group) -> dict[str, Plugin]:
    """Every kind of a group by name: built in, and the installed entry points of `sage.<group>`."""
    from importlib.metadata import entry_points

    found = {
        point.name: Plugin(
            kind=point.name, target=point.value, origin=point.dist.name if point.dist else "unknown"
        )
        for point in entry_points(group=f"sage.{group}")
    }
    targets = (
        _built_in_tasks({kind: plugin.target for kind, plugin in found.items()})
        if group == "tasks"
        else _BUILT_IN[group]
    )
    built_in = {kind: Plugin(kind=kind, target=target, origin="built in") for kind, target in targets.items()}
    return dict(sorted({**found, **built_in}.items()))


def _built_in_tasks(installed: dict[str, str]) -> dict[str, str]:
    """What the catalogue knows beyond the entry points, which it lists too."""
    from sage.hrm_core.tasks.catalogue import targets

    return {kind: target for kind, target in targets().items() if installed.get(kind) != target}


def resolve(group: Group, kind: str) -> Any:
    """The class of a kind; UserError naming the nearest kind, or what its import lacks."""
    known = plugins(group)
    if kind not in known:
        raise UserError(f"{kind}: unknown kind of {group.removesuffix('s')}: {nearest(kind, known)}")
    plugin = known[kind]
    module_name, _, class_name = plugin.target.partition(":")
    try:
        return getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{kind}: {plugin.target} ({plugin.origin}) cannot be imported: {error}: reinstall it"
        ) from error
