"""mind.json, the part of a snapshot that has its tick, its version and the digests of its files.

Invariant: what `read_about` returns is as it was written, and so is every file that it names. Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from sage.durable import checked_json, digest_of, read_json, write_synced
from sage.errors import DataError

ABOUT = "mind.json"
FORMAT = 2
#: Also of a file that an earlier version wrote without a checksum.
KEYS = ("format", "digests", "tick", "weights_version", "saved_ns", "epoch_ns", "journal")


#: What a file of a snapshot that is damaged raises; other errors pass, or are of another version.
DAMAGE = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    ValueError,  # also DataError
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
)


class SnapshotUnavailable(DataError):
    """It may be whole: of a newer version of SAGE, or it cannot be read now. It must not be renamed."""


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Into a folder that is renamed once it is complete."""
    write_synced(folder / ABOUT, checked_json(about))


def read_about(folder: Path) -> dict[str, Any]:
    """DataError where it, or a file that it names, differs from what was written. SnapshotUnavailable for one
    of a newer version.
    """
    about = read_json(folder / ABOUT, plain_keys=KEYS)
    if isinstance(about.get("format"), int) and about["format"] > FORMAT:
        raise SnapshotUnavailable(
            f"{folder}: a snapshot of format {about['format']}, this version of SAGE reads up to {FORMAT}:"
            " upgrade SAGE, or give another state directory"
        )
    for name, digest in about["digests"].items():
        if digest_of((folder / name).read_bytes()) != digest:
            raise DataError(f"the digest of {name} differs")
    return about
