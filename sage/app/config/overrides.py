"""`--set a.b=c`: replaces one value of the configuration before it is validated.

Invariant: an override changes exactly one key. Items of a list are named by their `name` (or kind), or by
position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sage.app.config.yaml_file import parse_value
from sage.app.terminal.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage.app.config.yaml_file import KeyPath, YamlDocument


def apply_overrides(document: YamlDocument, overrides: Sequence[str]) -> None:
    """Change the document's data in place, and record which keys came from the command line."""
    for text in overrides:
        keys, equals, value = text.partition("=")
        if not equals or not all(keys.split(".")):
            raise UserError(f"--set {text}: give key.path=value, e.g. tick.rate_hz=50")
        try:
            path = _assign(document.data, keys.strip().split("."), parse_value(value))
        except UserError as error:
            raise UserError(f"--set {text}: {error}") from error
        document.places[path] = f"--set {text}"
        document.variables.pop(path, None)


def _assign(data: dict[str, Any], keys: list[str], value: Any) -> KeyPath:
    """Walk to the last key, create missing mappings, and set it. Returns the path, with positions in
    lists.
    """
    target: Any = data
    path: list[str | int] = []
    for depth, key in enumerate(keys):
        step = _step(target, key, ".".join(keys[:depth]))
        path.append(step)
        if depth == len(keys) - 1:
            target[step] = value
            break
        if isinstance(target, dict) and target.get(step) is None:
            target[step] = {}
        target = target[step]
    return tuple(path)


def _step(target: Any, key: str, parent: str) -> str | int:
    if isinstance(target, dict):
        return key
    if not isinstance(target, list):
        raise UserError(f"{parent} is {target!r}, which has no keys: set {parent} itself")
    names = [_name(item) for item in target]
    if key in names:
        return names.index(key)
    if key.isdigit() and int(key) < len(target):
        return int(key)
    raise UserError(f"no {key} in {parent}: {nearest(key, [name for name in names if name])}")


def _name(item: Any) -> str:
    return str(item.get("name") or item.get("kind") or "") if isinstance(item, dict) else ""
