"""Files and folders that are complete or absent: written beside their place, fsynced, renamed.

Every file that a later run reads is written here. Invariant: a crash at any point leaves the old content or
the new content under the final name, never a part of one. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sage.errors import DataError, InputError

#: What surrounds the checksum in a JSON file.
_CHECKSUM_KEY, _CHECKSUM_END = ', "checksum": "', '"}'
#: Damaged files of one name that are kept.
NUM_ASIDES = 3
_log = logging.getLogger(__name__)
#: Of a chain of links, as the operating system has it.
_MAX_LINKS = 40
Content = bytes | bytearray | memoryview


class DamagedFile(DataError):
    """The file is truncated, altered or of another kind; the message is one line."""


class NewerVersion(InputError):
    """The file is whole, and of a newer version of SAGE: it must be neither renamed nor replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """arrays: by name.  scalars: JSON values."""

    arrays: Mapping[str, np.ndarray]
    scalars: Mapping[str, Any]


def write_file(path: Path, content: Content) -> None:
    """Write `content` to `path`, complete or not at all. The folder must exist.

    OSError of `path` when the disk is full or read-only: the previous file, if any, is unchanged, and nothing
    is left beside it.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` for a file that is written in the block, and replaces `path` at its end, with the
    permissions of the file before. After an error `path` is unchanged and nothing is left beside it. A link
    stays a link: the file that it names is replaced. A device or a pipe is written as it is, and so is
    what /dev/stdout names: it must not be replaced by a file.
    """
    place = _place_of(path)
    if place is None:
        yield path
        with suppress(OSError):  # stdout may be the same file, with an offset of its own
            if os.path.samestat(os.fstat(1), path.stat()):
                os.lseek(1, 0, os.SEEK_END)
        return
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        yield partial
        with suppress(OSError):  # no file before, or a file system without permissions
            partial.chmod(stat.S_IMODE(place.stat().st_mode))
        _sync(partial)
        partial.replace(place)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        # Without an errno the message is all there is, and a file name would replace it.
        if error.errno is not None and error.filename in (None, str(partial)):
            error.filename, error.filename2 = str(path), None
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(place.parent)


def _place_of(path: Path) -> Path | None:
    """`path`, or what it names as a link. None for what is no file, and below /dev and /proc, where a name
    such as /dev/stdout stands for an open file; /dev/shm has files.
    """
    place = path
    for _ in range(_MAX_LINKS):
        whole = Path(os.path.realpath(place.parent), place.name).parts
        if whole[1:2] in (("dev",), ("proc",)) and whole[1:3] != ("dev", "shm"):
            return None
        if not place.is_symlink():
            break
        place = place.parent / os.readlink(place)
    return None if place.exists() and not place.is_file() else place


def remove_partials(folder: Path) -> int:
    """Remove what `write_file` left in the folder in processes that were killed; returns how many files."""
    num = 0
    for path in folder.glob(".*.*.partial"):
        pid = path.name.removesuffix(".partial").rpartition(".")[2]
        if pid.isdecimal() and not is_running(int(pid)):
            with suppress(OSError):
                path.unlink()
                num += 1
    return num


def is_running(pid: int) -> bool:
    """Whether there is a process of this number, of any user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


@contextmanager
def write_folder(path: Path, *, keeps_previous: bool = False) -> Iterator[Path]:
    """An empty folder to write into, which replaces the folder `path` when the block ends without an error.

    Parent folders are created. After an error, OSError for example, `path` is unchanged and nothing is left
    beside it.
    """
    partial = begin_folder(path)
    try:
        yield partial
        for file in partial.iterdir():
            _sync(file)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    commit_folder(partial, path, keeps_previous=keeps_previous)


def begin_folder(path: Path) -> Path:
    """Create the empty folder that `commit_folder` renames to `path`; what an earlier crash left is deleted.

    For several processes that write one folder together; one process uses `write_folder`.
    """
    partial = partial_of(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def partial_of(path: Path) -> Path:
    """Where `begin_folder(path)` puts the folder."""
    return path.with_name(f".{path.name}.partial")


def commit_folder(partial: Path, path: Path, *, keeps_previous: bool = False) -> None:
    """Rename `partial`, whose files are fsynced, to `path`.

    A folder already at `path` is at `previous_of(path)` between the two renames and is deleted after the
    second, so a crash between them leaves a complete folder there: readers look in both places.
    keeps_previous: it stays, until the next folder replaces it.
    """
    previous = previous_of(path)
    sync_folder(partial)
    if path.exists():  # else `previous` may be the only complete one: it is deleted last
        shutil.rmtree(previous, ignore_errors=True)
        path.rename(previous)
    partial.rename(path)
    sync_folder(path.parent)
    if not keeps_previous:
        shutil.rmtree(previous, ignore_errors=True)


def previous_of(path: Path) -> Path:
    """Where the previous folder is while `commit_folder` replaces it."""
    return path.with_name(f"{path.name}.old")


def set_aside(path: Path, *, is_damaged: Callable[[Path], bool]) -> Path:
    """Rename a damaged file or folder to the name that `damaged_name` gives; returns it. Older ones of this
    name are deleted as in `keep_newest`.
    """
    aside = path.replace(damaged_name(path))
    keep_newest(list(set_aside_of(path).values()), is_damaged)
    return aside


def damaged_name(path: Path) -> Path:
    """The next of NAME.damaged, NAME.2.damaged, NAME.3.damaged, ...: nothing is overwritten."""
    number = max(set_aside_of(path), default=0) + 1
    return path.with_name(f"{path.name}.damaged" if number == 1 else f"{path.name}.{number}.damaged")


def set_aside_of(path: Path) -> dict[int, Path]:
    """What is beside `path` under the names that `damaged_name` gave, oldest first."""
    name = re.compile(rf"{re.escape(path.name)}(?:\.([1-9]\d*))?\.damaged")
    with suppress(OSError):
        found = {
            int(match[1] or 1): each for each in path.parent.iterdir() if (match := name.fullmatch(each.name))
        }
        return dict(sorted(found.items()))
    return {}


def keep_newest(asides: Sequence[Path], is_damaged: Callable[[Path], bool]) -> None:
    """Delete all but the last NUM_ASIDES of `asides`, oldest first, with their write-ahead logs; what
    `is_damaged` denies stays: it was set aside for another reason, and there may be no other copy. One log
    line has what is left, if more than one.
    """
    left, num_deleted = list(asides), 0
    for path in asides[:-NUM_ASIDES]:
        with suppress(OSError):
            if is_damaged(path):
                _delete(path)
                left.remove(path)
                num_deleted += 1
    if len(left) > 1:
        num_bytes = sum(map(_bytes_of, left))
        line = "%s: %d set aside, %.1f MB; %d older ones deleted"
        _log.warning(line, left[-1], len(left), num_bytes / 1e6, num_deleted)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink()
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)


def _bytes_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path, path.with_name(f"{path.name}-wal"))
    num = 0
    for file in files:
        with suppress(OSError):
            num += file.stat().st_size
    return num


def write_synced(path: Path, content: Content) -> None:
    """Write and fsync a file directly under its name: for a folder that is renamed once it is complete."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make creations and renames in `folder` durable."""
    _sync(folder)


def digest_of(content: Content) -> str:
    """blake2b-128 of `content`, as hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checked_json(values: Mapping[str, Any]) -> bytes:
    """A JSON object whose last key, "checksum", is over the text before it. ValueError for NaN."""
    text = json.dumps(values, allow_nan=False)[:-1]
    return f"{text}{_CHECKSUM_KEY}{digest_of(text.encode())}{_CHECKSUM_END}".encode()


def read_json(path: Path, *, plain_keys: Collection[str]) -> dict[str, Any]:
    """The object in a file of `checked_json`, without its checksum. FileNotFoundError when there is no file.

    plain_keys: all that a file of an earlier version may have, which had no checksum.  DamagedFile when the
    checksum differs, and for any other content.
    """
    try:
        return _parse_json(path.read_bytes().decode(), plain_keys)
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged ({' '.join(str(error).split())}): delete it") from error


def _parse_json(text: str, plain_keys: Collection[str]) -> dict[str, Any]:
    end = len(text) - len(_CHECKSUM_END) - 32
    is_checked = text[:end].endswith(_CHECKSUM_KEY) and text.endswith(_CHECKSUM_END)
    if is_checked and digest_of(text[: end - len(_CHECKSUM_KEY)].encode()) != text[end : end + 32]:
        raise ValueError("the checksum differs")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    if not is_checked and not found.keys() <= set(plain_keys):
        raise ValueError(f"unknown keys: {', '.join(sorted(found.keys() - set(plain_keys)))[:80]}")
    found.pop("checksum", None)
    return found


def write_checked(path: Path, contents: Contents, *, schema: str) -> None:
    """Write a safetensors file with schema, scalars and a checksum in its header.

    schema: kind and version of the contents, e.g. "memory/1".  OSError as write_file.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in contents.arrays.items()}
    scalars = json.dumps(contents.scalars, sort_keys=True)
    metadata = {"schema": schema, "scalars": scalars, "checksum": _checksum(schema, scalars, arrays)}
    write_file(path, save(arrays, metadata))


def read_checked(path: Path, *, schema: str) -> Contents:
    """Read what `write_checked` wrote. FileNotFoundError when there is no file.

    DamagedFile when the checksum differs, InputError when the file is intact but of another schema, its
    subclass NewerVersion when it is of a higher number of the same schema.
    """
    try:
        found, contents = _parse(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(
            f"{path} is damaged ({error}): use an older snapshot, or delete it to start fresh"
        ) from error
    if found != schema:
        kind = NewerVersion if is_newer(found, schema) else InputError
        raise kind(
            f"{path} has schema {found!r}, this version reads {schema!r}: use the version that wrote it, or"
            " move it away"
        )
    return contents


def is_newer(found: str, known: str) -> bool:
    """Whether `found` is `known`, e.g. "memory/1", with a higher number at its end."""
    kind = known.rstrip("0123456789")
    number = found.removeprefix(kind)
    return found.startswith(kind) and number.isdecimal() and int(number) > int(known.removeprefix(kind))


def _parse(data: bytes) -> tuple[str, Contents]:
    arrays = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if header["checksum"] != _checksum(header["schema"], header["scalars"], arrays):
        raise InputError("the checksum differs")
    return header["schema"], Contents(arrays=arrays, scalars=json.loads(header["scalars"]))


def _checksum(schema: str, scalars: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in (schema, scalars):
        digest.update(text.encode() + b"\0")
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\0".encode())
        digest.update(arrays[name].reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
