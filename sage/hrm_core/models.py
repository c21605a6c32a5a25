"""The model of a config or a file, of either kind: puzzles and sequences (HRM) or sensors
(ObservationModel).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sage.hrm_core.checkpoint.weights_file import read_model
from sage.hrm_core.config.model import ModelConfig, ObservationFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.observation.model import ObservationModel


def build_model(config: ModelConfig) -> HRM | ObservationModel:
    """The model for the config's front, with fresh weights."""
    return ObservationModel(config) if isinstance(config.front, ObservationFront) else HRM(config)


def load_model(path: Path | str, device: str = "cpu") -> tuple[HRM | ObservationModel, dict[str, Any]]:
    """The model that save_model wrote, and its metadata. CheckpointError if the file is absent, damaged, of
    another format, or does not fit its config."""
    saved = read_model(path, device)
    model = build_model(saved.config).to(device)
    saved.load_into(model)
    return model, dict(saved.metadata)
