"""One file, whole or not at all; a wrong one is one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.config.model import ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.models import load_model
from sage.hrm_core.observation.model import ObservationModel

SENSORS = ModelConfig.preset(
    "loop", front=ObservationFront(source_dims=(3, 1), num_actions=2), hidden_size=16, mlp_multiple=16
)
PUZZLE = ModelConfig.preset(
    "loop", front=TokenFront(vocab_size=5, seq_len=4), hidden_size=16, mlp_multiple=16
)


@pytest.mark.parametrize("kind", [ObservationModel, HRM])
def test_what_was_saved_is_what_is_loaded(tmp_path: Path, kind: type[ObservationModel] | type[HRM]) -> None:
    model = kind(SENSORS if kind is ObservationModel else PUZZLE, generator=torch.Generator().manual_seed(9))
    save_model(tmp_path / "model.safetensors", model, {"tick": 12, "names": ["imu"]})
    loaded, metadata = load_model(tmp_path / "model.safetensors")
    assert type(loaded) is kind
    assert loaded.config == model.config
    assert metadata == {"tick": 12, "names": ["imu"]}
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_only_the_file_itself_is_left_behind(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", ObservationModel(SENSORS))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, ObservationModel(SENSORS), {"night": 1})

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, ObservationModel(SENSORS), {"night": 2})
    monkeypatch.undo()
    assert load_model(path)[1] == {"night": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["model.safetensors"]


def write_foreign(path: Path) -> None:
    path.write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}))


def write_cut(path: Path) -> None:
    save_model(path, ObservationModel(SENSORS))
    path.write_bytes(path.read_bytes()[:-100])


def write_misfit(path: Path) -> None:
    save_model(path, ObservationModel(SENSORS))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"source_dims\\": [3, 1]', b'\\"source_dims\\": [3, 2]'))


@pytest.mark.parametrize(
    "write",
    [lambda path: None, lambda path: path.write_text("weights"), write_foreign, write_cut, write_misfit],
)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path: Path, write: object) -> None:
    path = tmp_path / "model.safetensors"
    write(path)  # type: ignore[operator]
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
