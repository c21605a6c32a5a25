"""Files that are no published checkpoint: each is one line that says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.official import read_official
from sage.hrm_core.checkpoint.source import save_official, to_official
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM

State = dict[str, torch.Tensor]
FRONT = TokenFront(vocab_size=11, seq_len=81, num_puzzle_ids=3, puzzle_emb_ndim=128, puzzle_tokens=1)
CONFIG = ModelConfig.preset("hrm-27m", front=FRONT, hidden_size=128, num_heads=2, H_layers=2, L_layers=2)


def published() -> State:
    """The names of the published files, compiled and wrapped."""
    return {f"_orig_mod.{name}": tensor for name, tensor in to_official(HRM(CONFIG)).items()}


def write(folder: Path) -> Path:
    save_official(HRM(CONFIG), folder)
    torch.save(published(), folder / "checkpoint")
    return folder / "checkpoint"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def without(name: str) -> State:
    return {key: tensor for key, tensor in published().items() if not key.endswith(name)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"weights": Evil()}, "could run code"),
        ([1, 2], "contains a list"),
        ({1: torch.zeros(2)}, "not a state dict"),
        ({}, "state dict"),
        ({"conv.weight": torch.zeros(2)}, "inner.H_init is missing"),
        (without("lm_head.weight"), "inner.lm_head.weight is missing"),
        (without("H_level.layers.1.mlp.down_proj.weight"), "H_level.layers.1.mlp.down_proj.weight"),
        (published() | {"model.inner.extra.weight": torch.zeros(2)}, "inner.extra.weight"),
        (
            published() | {"_orig_mod.model.inner.lm_head.weight": torch.zeros(7, 128)},
            "(7, 128), not (11, 128)",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_says_what(content: object, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        HRM.from_saved(read_official(path))
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_or_absent_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated"):
        read_official(path)
    with pytest.raises(CheckpointError, match="no such file"):
        read_official(tmp_path / "nothing.pt")


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_flipped_bytes_are_one_line_or_harmless(is_zip: bool, tmp_path: Path) -> None:
    path, rng = tmp_path / "checkpoint", random.Random(0)
    torch.save({"inner.a": torch.zeros(40)}, path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:  # at best it is whole, and no model
            read_official(path)
        assert "\n" not in str(caught.value)


def test_a_broken_yaml_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    for text in ("arch: [", "- 1\n- 2\n", "arch: 3"):
        (tmp_path / "all_config.yaml").write_text(text)
        with pytest.raises(CheckpointError, match="all_config"):
            read_official(path)
