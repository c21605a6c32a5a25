"""Many tensors in files of a limited size, each file known by its digest.

Invariant: what `read_shards` returns is, byte for byte, what `write_shards` was given; anything else is a
ShardError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sage.durable import digest_of, write_synced
from sage.errors import DataError

MAX_BYTES = 15 << 20  # below 16 MiB with the header: what simple storage takes as one file
_HEADER_BYTES = 1 << 16


class ShardError(DataError):
    """A file that is missing, cut or altered. One line."""


def write_shards(
    folder: Path, prefix: str, tensors: Mapping[str, Tensor], *, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """Write `PREFIX-NNNNN.safetensors`, each fsynced, and return their index (plain values, for a JSON
    file).
    """
    index: dict[str, Any] = {
        "files": {},
        "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()},
    }
    for number, part in enumerate(_packed(tensors, max_bytes - _HEADER_BYTES)):
        content = safetensors.torch.save(part)
        path = folder / f"{prefix}-{number:05d}.safetensors"
        write_synced(path, content)
        index["files"][path.name] = {"bytes": len(content), "blake2b": digest_of(content)}
    return index


def read_shards(folder: Path, index: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of an index, on the CPU. ShardError names the file that is not as it was written."""
    pieces: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in index["shapes"]}
    for file_name, expected in index["files"].items():
        path = folder / file_name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ShardError(f"{path}: {(error.strerror or str(error)).lower()}") from error
        if len(content) != expected["bytes"] or digest_of(content) != expected["blake2b"]:
            raise ShardError(f"{path}: {len(content)} bytes of {expected['bytes']}, or altered: damaged")
        try:
            parts = safetensors.torch.load(content)
        except SafetensorError as error:
            raise ShardError(f"{path}: no safetensors file ({error})") from error
        for key, piece in parts.items():
            name, _, start = key.rpartition("@")
            pieces[name].append((int(start), piece))
    whole = {}
    for name, shape in index["shapes"].items():
        flat = [piece for _, piece in sorted(pieces[name], key=lambda each: each[0])]
        whole[name] = (flat[0] if len(flat) == 1 else torch.cat(flat)).view(shape)
    return whole


def _packed(tensors: Mapping[str, Tensor], max_bytes: int) -> Iterator[dict[str, Tensor]]:
    """Flat pieces `name@start`, filled into parts of at most max_bytes; a tensor may continue in the next
    part.
    """
    part: dict[str, Tensor] = {}
    room = max_bytes
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().contiguous().view(-1)  # sync: off the device
        start = 0
        while start < len(flat) or start == 0:
            if room < flat.element_size():
                yield part
                part, room = {}, max_bytes
            piece = flat[start : start + room // flat.element_size()]
            part[f"{name}@{start}"] = piece.clone()  # a view's storage would be written whole
            room -= piece.numel() * piece.element_size()
            start += max(1, len(piece))
    if part:
        yield part
