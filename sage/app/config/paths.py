"""Check that the files and devices of a configuration exist, before a run starts.

Invariant: only enabled entries without `optional` are checked, and no device is opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sage.app.terminal.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage.app.config.entry import DeviceEntry
    from sage.app.config.yaml_file import KeyPath, YamlDocument


#: Keys of a sensor with a path. A device may also be a driver's name ("default"), which is not checked.
_KEYS = ("path", "device")


def check_paths(sensors: Iterable[DeviceEntry], document: YamlDocument) -> None:
    """UserError for the first enabled sensor whose file or device is missing or cannot be read, but for
    optional ones: the run starts without them.
    """
    for index, entry in enumerate(sensors):
        if not entry.enabled or entry.optional:
            continue
        for key in _KEYS:
            given = getattr(entry.config, key, None)
            if isinstance(given, Path) or (isinstance(given, str) and given.startswith("/")):
                _check(Path(given), ("sensors", index, key), entry.name, document)


def _check(given: Path, path: KeyPath, name: str, document: YamlDocument) -> None:
    fault = _fault(given)
    if fault:
        variables = document.variables.get(path, ())
        remedy = f"set {variables[0]} to its folder" if variables else "correct it, or set enabled: false"
        raise UserError(f"{document.where(path)}: sensors.{name}.{path[-1]}: {given}: {fault}: {remedy}")


def _fault(path: Path) -> str:
    if not path.exists():
        return "no such device" if str(path).startswith("/dev/") else "no such file"
    if path.is_dir():
        return "is a directory"
    return "" if os.access(path, os.R_OK) else "permission denied"
