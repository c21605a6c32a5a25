"""A model from whatever holds one, and back: our folder, our file, a published file or folder, a repository
on the hub.

Invariant: what is returned is whole: every weight the config asks for was in the source, and none was left
over.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from torch import Tensor

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.hub import fetch, push
from sage.hrm_core.checkpoint.official import OfficialCheckpoint, read_official, without_puzzles
from sage.hrm_core.checkpoint.weights_file import load_model, save_model
from sage.hrm_core.model.hrm import HRM

WEIGHTS_NAME, CONFIG_NAME = "model.safetensors", "config.json"


def load_pretrained(
    source: str | Path,
    *,
    device: str = "cpu",
    seq_len: int | None = None,
    revision: str | None = None,
    has_puzzles: bool = True,
) -> HRM:
    """The model in eval mode, or CheckpointError.

    seq_len: cells of a puzzle, for a published file that does not tell.  has_puzzles: False leaves a
    published file's table of puzzles behind (99% of some files), but for its mean row.
    """
    path = _weights_in(fetch(source, revision=revision))
    if path.suffix != ".safetensors":
        found = read_official(path, seq_len=seq_len)
        return build_official(path, found if has_puzzles else without_puzzles(found)).to(device).eval()
    model, _ = load_model(path, device)
    if not isinstance(model, HRM):
        raise CheckpointError(
            f"{path}: a model of sensors, not of puzzles: load it with"
            " sage.hrm_core.checkpoint.weights_file.load_model"
        )
    return model.eval()


def build_official(path: Path, found: OfficialCheckpoint) -> HRM:
    """The model of a published file, its weights in fp32. CheckpointError names the first name or shape that
    does not fit.
    """
    model = HRM(found.config)
    expected = model.state_dict()
    _refuse(path, "missing", [name for name in expected if name not in found.state])
    _refuse(path, "not of this model", [name for name in found.state if name not in expected])
    wrong = [name for name, tensor in expected.items() if tensor.shape != found.state[name].shape]
    if wrong:
        shapes = f"{tuple(found.state[wrong[0]].shape)}, not {tuple(expected[wrong[0]].shape)}"
        raise CheckpointError(f"{path}: {wrong[0]} has shape {shapes}{_more(wrong)}")
    model.load_state_dict(dict(found.state))
    return model


def save_pretrained(model: HRM, folder: str | Path) -> None:
    """model.safetensors, which is enough by itself, and config.json for people and the hub."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / WEIGHTS_NAME, model)
    (folder / CONFIG_NAME).write_text(json.dumps(model.config.to_plain(), indent=2) + "\n")


def push_pretrained(model: HRM, repository: str, *, is_private: bool = True) -> str:
    """Save and upload; returns the repository's address."""
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        return push(Path(folder), repository, is_private=is_private)


def to_official(model: HRM) -> dict[str, Tensor]:
    """A state dict under the published names: what `torch.save` writes for other people's code."""
    return {
        f"model.{name}": tensor.detach().cpu() for name, tensor in model.state_dict().items()
    }  # sync: off the device


def _weights_in(path: Path) -> Path:
    """The weights of a folder: ours, the published `checkpoint`, or a training run's last step_N."""
    if path.is_file():
        return path
    for name in (WEIGHTS_NAME, "checkpoint"):
        if (path / name).is_file():
            return path / name
    steps = [each for each in path.glob("step_*") if each.is_file() and each.name[5:].isdigit()]
    if not steps:
        raise CheckpointError(
            f"{path}: no model in this folder: it needs {WEIGHTS_NAME}, checkpoint, or step_N"
        )
    return max(steps, key=lambda each: int(each.name[5:]))


def _refuse(path: Path, fault: str, names: list[str]) -> None:
    if names:
        raise CheckpointError(f"{path}: {fault}: {names[0]}{_more(names)}")


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
