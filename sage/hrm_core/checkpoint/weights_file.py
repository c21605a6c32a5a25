"""Weights and their config in one file: safetensors, with the config as JSON in its header.

Invariant: a file is written complete or not at all (sage.durable), and contains no code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from sage.durable import NewerVersion, is_newer, write_file
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.saved_model import Configured, SavedModel
from sage.hrm_core.config.model import ModelConfig

FORMAT = "sage-model-1"
#: Of the header that save_model writes.
_PARTS = ("format", "config", "metadata")


class NewerModel(CheckpointError, NewerVersion):
    """A newer version of SAGE wrote the file."""


def save_model(path: Path | str, model: Configured, metadata: Mapping[str, Any] | None = None) -> None:
    """Write weights, config and `metadata` (JSON values); the folder must exist."""
    path = Path(path)
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }  # sync: off the device
    header = {
        "format": FORMAT,
        "config": json.dumps(model.config.to_plain()),
        "metadata": json.dumps(dict(metadata or {})),
    }
    header["checksum"] = _checksum(header, state)
    write_file(path, safetensors.torch.save(state, metadata=header))


def read_model(path: Path | str, device: str = "cpu") -> SavedModel:
    """What save_model wrote. CheckpointError if the file is absent, damaged or of another format.

    A file of an earlier version has no checksum.
    """
    path = Path(path)
    header = read_header(path)
    if header.get("format") != FORMAT:
        found = header.get("format", "a file without a format")
        if is_newer(found, FORMAT):
            raise NewerModel(f"{path}: a {found} file, this version of SAGE reads {FORMAT}: upgrade SAGE")
        raise CheckpointError(f"{path}: not a {FORMAT} file ({found}): give a model that save_model wrote")
    try:
        config = ModelConfig.from_plain(json.loads(header["config"]))
        metadata = json.loads(header["metadata"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its header is not a model's: {_one_line(error)}") from error
    return SavedModel(path=path, config=config, state=_checked(path, header, device), metadata=metadata)


def is_ours(path: Path) -> bool:
    """Whether save_model wrote the safetensors file."""
    return read_header(path).get("format") == FORMAT


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, empty if it has none. CheckpointError where it cannot be read."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: give a model that save_model wrote")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file: {_one_line(error)}") from error


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Any]:
    """The tensors of a safetensors file by name. CheckpointError where it cannot be read."""
    try:
        return dict(safetensors.torch.load_file(path, device=device))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file: {_one_line(error)}") from error


def _checked(path: Path, header: Mapping[str, str], device: str) -> dict[str, Any]:
    """The tensors of a file of ours, compared with its checksum."""
    unknown = header.keys() - {*_PARTS, "checksum"}
    if unknown:
        raise CheckpointError(f"{path}: damaged (unknown {min(unknown)[:40]!r} in its header): copy it again")
    state = read_tensors(path)
    if "checksum" in header and header["checksum"] != _checksum(header, state):
        raise CheckpointError(f"{path}: damaged (the checksum differs): copy it again, or use another file")
    return {name: tensor.to(device) for name, tensor in state.items()}


def _checksum(header: Mapping[str, str], state: Mapping[str, torch.Tensor]) -> str:
    """blake2b-128 of the header's parts and of every tensor's name, type, shape and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _PARTS:
        digest.update(header[part].encode() + b"\0")
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
