"""The plug-ins: the name of each kind, and its class, imported on first use.

Invariant: looking up a name imports only that kind's module. Built-in names take precedence over entry
points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from sage.app.terminal.errors import UserError, nearest
from sage.app.terminal.streams import printing_to_stderr
from sage.errors import pass_on

Group = Literal["sensors", "effectors", "environments", "instruments", "tasks"]

#: Tasks have a catalogue of their own: sage.hrm_core.tasks.catalogue.
_BUILT_IN: dict[Group, dict[str, str]] = {
    "sensors": {
        "audio": "sage.sensors.devices.audio:AudioSensor",
        "clock": "sage.sensors.devices.clock:ClockSensor",
        "groot": "sage.gr00t_integration.loop.sensor:GrootSensor",
        "host": "sage.sensors.devices.host:HostSensor",
        "imu": "sage.sensors.devices.imu:ImuSensor",
        "language": "sage.sensors.language.language_sensor:LanguageSensor",
        "mcap": "sage.sensors.recordings.mcap_sensor:McapSensor",
        "memory": "sage.memory.sensor:MemorySensor",
        "recorded": "sage.sensors.recordings.recorded_sensor:RecordedSensor",
        "remote": "sage.sensors.remote.remote_sensor:RemoteSensor",
        "rosbag": "sage.sensors.recordings.rosbag_sensor:RosbagSensor",
        "synthetic": "sage.sensors.devices.synthetic:SyntheticSensor",
        "table": "sage.sensors.devices.table:TableSensor",
        "totality": "sage.related_work.totality.sensor:TotalitySensor",
        "video": "sage.sensors.devices.video:VideoSensor",
    },
    "effectors": {
        "groot_relay": "sage.gr00t_integration.loop.relay:GrootRelay",
        "journal": "sage.sensors.effectors.journal:JournalEffector",
        "null": "sage.sensors.effectors.null:NullEffector",
        "recording": "sage.sensors.effectors.recording:RecordingEffector",
        "stand_in": "sage.sensors.recordings.stand_in:StandInEffector",
        "totality_writer": "sage.related_work.totality.effector:TotalityEffector",
    },
    "environments": {
        "gymnasium": "sage.sensors.environments.gymnasium_world:GymnasiumEnvironment",
        "key_door": "sage.sensors.environments.key_door:KeyDoorEnvironment",
        "mujoco": "sage.sensors.environments.mujoco.mujoco_environment:MujocoEnvironment",
        "puzzles": "sage.sensors.environments.puzzles.puzzles_environment:PuzzlesEnvironment",
        "table": "sage.sensors.environments.table.table_environment:TableEnvironment",
    },
    "instruments": {},
}
#: The groups that the plug-in contract is about, and what a plug-in's `Config` is a subclass of.
_DEVICES = {"sensors": "SensorConfig", "effectors": "EffectorConfig", "environments": "EnvironmentConfig"}


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
    """The tasks of the catalogue that are not entry points."""
    from sage.hrm_core.tasks.catalogue import targets

    return {kind: target for kind, target in targets().items() if installed.get(kind) != target}


def resolve(group: Group, kind: str) -> Any:
    """The class of a kind; UserError with the nearest kind, or with the reason why its import fails."""
    known = plugins(group)
    if kind not in known:
        raise UserError(f"{kind}: unknown kind of {group.removesuffix('s')}: {nearest(kind, known)}")
    from sage.sensors.contract_version import contract_problem

    plugin = known[kind]
    module_name, _, class_name = plugin.target.partition(":")
    try:
        with printing_to_stderr():
            found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{kind}: {plugin.target} ({plugin.origin}) cannot be imported: {error}: reinstall it"
        ) from error
    except BaseException as error:  # around a plug-in, whose module may do anything when it is imported
        pass_on(error)
        text = " ".join(str(error).split())
        raise UserError(
            f"{kind}: {plugin.target} ({plugin.origin}) raises {type(error).__name__} when it is imported:"
            f" {text}: correct the plug-in: its module touches no device"
        ) from error
    if group in _DEVICES:
        problem = contract_problem(found, plugin.origin) or _config_problem(found, plugin, _DEVICES[group])
        if problem:
            raise UserError(f"{kind}: {problem}")
    return found


def _config_problem(found: Any, plugin: Plugin, base: str) -> str:
    """Why a device's settings cannot be read, with the remedy; empty where they can."""
    from sage.sensors import config

    given = getattr(found, "Config", None)
    if isinstance(given, type) and issubclass(given, getattr(config, base)):
        return ""
    return (
        f"{plugin.target} ({plugin.origin}) has no Config that is a {base}: correct the plug-in: its entry"
        f" point names a class, whose attribute Config is a subclass of {base}"
    )
