"""A task as data: the name and the options that make it again in another process, and the files it reads.

Invariant: an address is plain JSON; a task is made from it by the catalogue alone, and not from a file whose
content changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.errors import DataError, InputError
from sage.hrm_core.tasks.catalogue import make_task, targets, task_kind
from sage.hrm_core.tasks.contract import Task

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAddress:
    """name: in the catalogue.  options: plain values; paths are absolute.
    files: SHA-256 of each file or folder that the options name, by its path.
    """

    name: str
    options: Mapping[str, Any]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        return {"name": self.name, "options": dict(self.options), "files": dict(self.files)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TaskAddress:
        """KeyError where the name or the options are missing; `files` may be."""
        return cls(name=plain["name"], options=plain["options"], files=plain.get("files", {}))

    def make(self) -> Task:
        """InputError as make_task; DataError for a file that is missing, or is not the one of the address."""
        for path, expected in self.files.items():
            found = sha256_of(Path(path))
            if found != expected:
                raise DataError(
                    f"{path}: SHA-256 is {found}, {expected} was recorded: restore the file that the task"
                    f" {self.name} was made from"
                )
        return make_task(self.name, **self.options)


def address_for(name: str, options: Mapping[str, Any]) -> TaskAddress:
    """The address of `make_task(name, **options)`.

    InputError for an unknown name, and for options that JSON cannot hold.
    """
    files: dict[str, str] = {}
    located = _located(name, options, files)
    try:
        plain = json.loads(json.dumps(located))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"task {name}: its options are no plain values ({error}): give numbers, texts and lists"
        ) from error
    return TaskAddress(name=name, options=plain, files=files)


def address_of(task: Task) -> TaskAddress | None:
    """The address of a task whose `config` has its options; None where these do not make an equal task
    again.
    """
    config = getattr(task, "config", None)
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return None
    try:
        found = address_for(task.spec.name, dataclasses.asdict(config))
        again = found.make()
    except (InputError, DataError, TypeError, ValueError):
        return None
    return found if again.spec == task.spec and type(again) is type(task) else None


def sha256_of(path: Path) -> str:
    """Of a file's content; of a folder, of the names and contents of all files in it, in hexadecimal.

    DataError where it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for each in sorted(each for each in path.rglob("*") if each.is_file()):
                digest.update(f"{each.relative_to(path)}\0{each.stat().st_size}\0".encode())
                _add(digest, each)
        else:
            _add(digest, path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): restore the file that the task was made from"
        ) from error
    return digest.hexdigest()


def _add(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)


def _located(name: str, options: Mapping[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """The options, with absolute paths in those that name files; adds the files' sums to `files`. The parts
    of a mixture are options of their own.
    """
    named = task_kind(name).files
    return {
        key: _absolute(value, files) if key in named else _parts(value, files)
        for key, value in options.items()
    }


def _absolute(value: Any, files: dict[str, str]) -> Any:
    """A text that names no file, such as arc1, stays."""
    if isinstance(value, (list, tuple)):
        return [_absolute(each, files) for each in value]
    if not isinstance(value, (str, Path)) or not str(value):
        return value
    path = Path(value).expanduser()
    if not path.exists():
        return str(value)
    path = path.absolute()
    files[str(path)] = sha256_of(path)
    return str(path)


def _parts(value: Any, files: dict[str, str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_parts(each, files) for each in value]
    if isinstance(value, Mapping) and value.get("name") in targets():
        return _located(value["name"], value, files)
    return value
