"""A model's config and tensors from a path or a repository on the hub, in our form or a published one; and
back.

Invariant: what is returned was read from the source; where a published file does not record a setting, the
value that is assumed is logged.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from sage.durable import replacing, write_file
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.hub import fetch, push
from sage.hrm_core.checkpoint.official import CONFIG_NAME as PUBLISHED_CONFIG
from sage.hrm_core.checkpoint.official import official_settings, read_official, without_puzzles
from sage.hrm_core.checkpoint.saved_model import Configured, SavedModel
from sage.hrm_core.checkpoint.weights_file import is_ours, read_model, save_model

WEIGHTS_NAME, CONFIG_NAME = "model.safetensors", "config.json"
#: Weights files of a folder, in the order of preference.
_NAMES = (WEIGHTS_NAME, "checkpoint", "pytorch_model.bin")
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def read_pretrained(
    source: str | Path, *, seq_len: int | None = None, revision: str | None = None, has_puzzles: bool = True
) -> SavedModel:
    """The config and tensors of `source`: a file, a folder, or a repository ("owner/name"). Else
    CheckpointError.

    seq_len: cells of a puzzle, for a published file that does not record it.  has_puzzles: False reads the
    mean row in place of a published file's table of puzzle embeddings (99% of some files).
    """
    path = find_weights(fetch(source, revision=revision))
    if path.suffix == ".safetensors" and is_ours(path):
        return read_model(path)
    found = read_official(path, seq_len=seq_len)
    return found if has_puzzles else without_puzzles(found)


def save_pretrained(model: Configured, folder: str | Path) -> None:
    """model.safetensors, which is enough by itself, and config.json for people and the hub."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / WEIGHTS_NAME, model)
    plain: dict[str, Any] = model.config.to_plain()
    write_file(folder / CONFIG_NAME, (json.dumps(plain, indent=2) + "\n").encode())


def push_pretrained(model: Configured, repository: str, *, is_private: bool = True) -> str:
    """Save and upload; returns the repository's address."""
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        return push(Path(folder), repository, is_private=is_private)


def save_official(model: Configured, folder: str | Path) -> None:
    """`checkpoint` and `all_config.yaml`, as the public HRM and TRM code reads them. The folder is
    created.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "checkpoint") as partial:
        torch.save(to_official(model), partial)
    text = yaml.safe_dump(official_settings(model.config), sort_keys=False)
    write_file(folder / PUBLISHED_CONFIG, text.encode())


def to_official(model: Configured) -> dict[str, Tensor]:
    """A state dict under the published names, on the CPU."""
    return {
        f"model.{name}": tensor.detach().cpu() for name, tensor in model.state_dict().items()
    }  # sync: off the device


def find_weights(path: Path) -> Path:
    """The weights file of a folder: ours, a published name, the only file with a weights suffix, or the last
    step_N of a training run. CheckpointError if there is none, or several of which none has a known name."""
    if path.is_file():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else []
    steps = [each for each in files if each.stem.startswith("step_") and _is_step(each)]
    if steps:
        return max(steps, key=lambda each: int(each.stem[5:]))
    weights = [each for each in files if each.suffix in _SUFFIXES]
    if len(weights) == 1:
        return weights[0]
    if weights:
        names = ", ".join(each.name for each in weights[:5])
        raise CheckpointError(f"{path}: several weights files ({names}): give the path of one")
    raise CheckpointError(
        f"{path}: no model in this folder: it needs {', '.join(_NAMES)}, step_N,"
        f" or one file that ends in {', '.join(_SUFFIXES)}"
    )


def _is_step(path: Path) -> bool:
    return path.stem[5:].isdigit() and path.suffix in ("", *_SUFFIXES)
