"""A safetensors file that knows whether it is whole: schema version, scalars and a checksum in its header.

Invariant: under a given name there is always a complete file or none: written beside it, fsynced, renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sage.errors import DataError, InputError


class DamagedFile(DataError):
    """The file is cut, altered or of another kind. The message is one line: which file, what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """arrays: by name.  scalars: what JSON can hold."""

    arrays: Mapping[str, np.ndarray]
    scalars: Mapping[str, Any]


def write_checked(path: Path, contents: Contents, *, schema: str) -> int:
    """Write `contents` so that a crash leaves the old file or the new one; returns the file's bytes.

    schema: kind and version of the contents, e.g. "memory/1".  OSError when the disk refuses; nothing is left
    behind.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in contents.arrays.items()}
    scalars = json.dumps(contents.scalars, sort_keys=True)
    metadata = {"schema": schema, "scalars": scalars, "checksum": _checksum(schema, scalars, arrays)}
    temporary = path.with_name(path.name + ".tmp")
    data = save(arrays, metadata)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return len(data)


def read_checked(path: Path, *, schema: str, set_aside: bool = False) -> Contents:
    """What `write_checked` wrote. FileNotFoundError when there is none.

    DamagedFile when it is not whole; with set_aside it has then been renamed to NAME.damaged, so that a good
    one may take its place. InputError, and the file left alone, when it is whole but of another schema.
    """
    try:
        found, contents = _parse(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        where = path
        if set_aside:
            where = path.replace(path.with_name(path.name + ".damaged"))
        raise DamagedFile(
            f"{where} is damaged ({error}): use an older snapshot, or delete it to start afresh"
        ) from error
    if found != schema:
        raise InputError(
            f"{path} has schema {found!r}, this version reads {schema!r}: delete it or use the version that"
            " wrote it"
        )
    return contents


def _parse(data: bytes) -> tuple[str, Contents]:
    arrays = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if header["checksum"] != _checksum(header["schema"], header["scalars"], arrays):
        raise InputError("its checksum does not hold")
    return header["schema"], Contents(arrays=arrays, scalars=json.loads(header["scalars"]))


def _checksum(schema: str, scalars: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in (schema, scalars):
        digest.update(text.encode() + b"\0")
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\0".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
