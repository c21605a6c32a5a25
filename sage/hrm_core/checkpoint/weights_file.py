"""Weights with their config in one file: safetensors, the config as JSON in its header.

Invariant: a file is written complete or not at all (sage.durable), and contains no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open

from sage.durable import write_file
from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.observation.model import ObservationModel

FORMAT = "sage-model-1"


def build_model(config: ModelConfig) -> HRM | ObservationModel:
    """The model that the config's front end asks for."""
    return ObservationModel(config) if isinstance(config.front, ObservationFront) else HRM(config)


def save_model(
    path: Path | str, model: HRM | ObservationModel, metadata: Mapping[str, Any] | None = None
) -> None:
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
    write_file(path, safetensors.torch.save(state, metadata=header))


def load_model(path: Path | str, device: str = "cpu") -> tuple[HRM | ObservationModel, dict[str, Any]]:
    """The model and its metadata. CheckpointError where the file is none of ours, is damaged or does not fit
    its config.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: give a model that save_model wrote")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                found = header.get("format", "a file without a format")
                raise CheckpointError(
                    f"{path}: not a {FORMAT} file ({found}): give a model that save_model wrote"
                )
            model = build_model(ModelConfig.from_plain(json.loads(header["config"]))).to(device)
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118  a safetensors handle is no dict
            return model, json.loads(header["metadata"])
    except CheckpointError:
        raise
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a model: {' '.join(str(error).split())[:200]}"
        ) from error
