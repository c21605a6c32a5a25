"""The whole configuration: one frozen, strict object, from a YAML file and `--set` overrides.

Invariant: a SageConfig is complete and valid, plug-ins' own settings included; every error is a UserError
with the place, the key path and the remedy. Relative paths are relative to the current directory. Imports no
torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from sage.app.config.entry import DeviceEntry
from sage.app.config.errors import explain, key_path
from sage.app.config.names import check_name, shipped_configs
from sage.app.config.overrides import apply_overrides
from sage.app.config.paths import check_paths
from sage.app.config.registry import Group, resolve
from sage.app.config.state_dir import default_state_dir
from sage.app.config.yaml_file import YamlDocument, read_yaml
from sage.app.diagnosis.config import DiagnosisConfig
from sage.app.terminal.errors import UserError, nearest
from sage.app.trackers.config import TrackingConfig
from sage.runtime.config import PolicyConfig, RuntimeConfig, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Keys of every entry, whatever its kind.
_SWITCHES = ("enabled", "optional")
#: Keys with a list of entries.
GROUPS: tuple[Group, ...] = ("sensors", "effectors", "environments")


class StoreConfig(Section):
    """Limits of the metrics store: the age of a session in days, and the size of the file in bytes."""

    keep_days: float = Field(30.0, gt=0)
    max_bytes: int = Field(2 << 30, ge=1 << 20)


class AuditConfig(Section):
    """Limit of the audit log of effectors: the oldest part is deleted beyond it."""

    max_bytes: int = Field(256 << 20, ge=1 << 20)


class SageConfig(RuntimeConfig):
    """A run: the loop's settings at the top level, its sensors, effectors, environments and store.

    state_dir: None is the platform's state directory for this user.
    """

    name: str = Field("sage", min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    state_dir: Path | None = None
    store: StoreConfig = StoreConfig()
    audit: AuditConfig = AuditConfig()
    tracking: TrackingConfig = TrackingConfig()
    diagnosis: DiagnosisConfig = DiagnosisConfig()
    sensors: tuple[DeviceEntry, ...] = ()
    effectors: tuple[DeviceEntry, ...] = ()
    environments: tuple[DeviceEntry, ...] = ()

    @model_validator(mode="after")
    def _has_measured_sources(self) -> SageConfig:
        """Names of an environment's sensors begin with its own; they are checked when the run is built."""
        names = [entry.name for entry in self.enabled_sensors]
        disabled = {entry.name for entry in self.sensors} - set(names)
        worlds = tuple(f"{entry.name}." for entry in self.environments)
        for group in self.measurements:
            for source in group.sources:
                if source.name in disabled:
                    raise ValueError(
                        f"measurements.{group.name}.sources: {source.name} is not enabled: enable it or"
                        " leave it out"
                    )
                if source.name not in names and not source.name.startswith(worlds):
                    raise ValueError(
                        f"measurements.{group.name}.sources: there is no sensor {source.name}:"
                        f" {nearest(source.name, names)}"
                    )
            if group.name in {*names, *disabled}:
                raise ValueError(
                    f"measurements.{group.name}: it is the name of a sensor: give the group another name"
                )
        return self

    @property
    def state_path(self) -> Path:
        """The state directory: an absolute path; this property does not create it."""
        if self.state_dir is not None:
            return self.state_dir.expanduser().absolute()
        return default_state_dir()

    @property
    def enabled_sensors(self) -> tuple[DeviceEntry, ...]:
        return tuple(entry for entry in self.sensors if entry.enabled)

    @property
    def enabled_effectors(self) -> tuple[DeviceEntry, ...]:
        return tuple(entry for entry in self.effectors if entry.enabled)

    @property
    def enabled_environments(self) -> tuple[DeviceEntry, ...]:
        return tuple(entry for entry in self.environments if entry.enabled)


def load_config(path: str | Path, overrides: Sequence[str] = (), *, with_files: bool = False) -> SageConfig:
    """The configuration in a file, or the shipped one of that name ("default"), with `a.b=c` overrides
    applied.

    with_files: also check that the files and devices of enabled sensors are there and can be read.
    """
    document = read_yaml(find_config(path))
    apply_overrides(document, overrides)
    config = build_config(document)
    if with_files:
        check_paths(config.sensors, document)
    return config


def find_config(path: str | Path) -> Path:
    """The file itself, or the shipped configuration of that name; UserError otherwise."""
    given = Path(path).expanduser()
    if given.exists() or os.path.lexists(given):
        return given
    shipped = shipped_configs()
    stem = given.name.removesuffix(".yaml")
    if stem in shipped and given.parent in (Path(), Path("configs")):
        return shipped[stem]
    check_name("configuration", str(path))
    raise UserError(f"{path}: no such file: give a path, or a shipped configuration: {', '.join(shipped)}")


def build_config(document: YamlDocument) -> SageConfig:
    """Validate: plug-ins' settings by their kinds, the rest by SageConfig. The UserError has the first fault
    and the number of the others."""
    data = dict(document.data)
    if isinstance(data.get("policy"), str):
        data["policy"] = _read_policy(data["policy"])
    for group in GROUPS:
        data[group] = _build_entries(group, data.get(group), document)
    try:
        return SageConfig.model_validate(data)
    except ValidationError as error:
        raise UserError(explain(error, SageConfig, document)) from None


def effective(config: SageConfig) -> str:
    """The whole configuration as YAML, defaults included; loading it again gives an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def config_hash(config: SageConfig) -> str:
    """blake2b-64 of the effective configuration. state_dir and tracking are left out: the run is the same."""
    plain = config.model_dump(mode="json", exclude={"state_dir", "tracking"})
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def _read_policy(path: str) -> PolicyConfig:
    """The policy in a file of its own, for `policy: FILE`."""
    document = read_yaml(Path(path).expanduser())
    try:
        return PolicyConfig.model_validate(document.data)
    except ValidationError as error:
        raise UserError(explain(error, PolicyConfig, document)) from None


def _build_entries(group: Group, items: Any, document: YamlDocument) -> tuple[DeviceEntry, ...]:
    if items is None:
        return ()
    if not isinstance(items, list):
        raise UserError(f"{document.where((group,))}: {group}: give a list of items, each with a kind")
    entries = tuple(_build_entry(group, index, item, document) for index, item in enumerate(items))
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.name in seen:
            raise UserError(
                f"{document.where((group, index))}: {group}.{index}.name: {entry.name} is used twice: give"
                " each a different name"
            )
        seen.add(entry.name)
    return entries


def _build_entry(group: Group, index: int, item: Any, document: YamlDocument) -> DeviceEntry:
    path = (group, index)
    if isinstance(item, dict) and "kind" in item and item["kind"] is None:
        item = {**item, "kind": "null"}  # the effector's name, which YAML reads as no value
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise UserError(
            f"{document.where(path)}: {key_path(path, document)}: kind is missing: give kind: and the kind's"
            " own keys"
        )
    switches = {key: item[key] for key in _SWITCHES if key in item}
    for key, value in switches.items():
        if not isinstance(value, bool):
            at = (*path, key)
            raise UserError(
                f"{document.where(at)}: {key_path(at, document)} is {value!r}: give true or false"
            )
    settings = {key: value for key, value in item.items() if key not in _SWITCHES}
    try:
        kind = resolve(group, item["kind"])
    except UserError as error:
        raise UserError(
            f"{document.where((*path, 'kind'))}: {key_path((*path, 'kind'), document)}: {error}"
        ) from error
    try:
        return DeviceEntry(**switches, config=kind.Config.model_validate(settings))
    except ValidationError as error:
        raise UserError(explain(error, kind.Config, document, path, known=_SWITCHES)) from None
