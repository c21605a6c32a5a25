"""A model from a folder, a file or the hub; what is not there is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.checkpoint.source import save_official, to_official
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.config.model import ModelConfig, ObservationFront, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.observation.model import ObservationModel

FRONT = TokenFront(vocab_size=11, seq_len=81, num_puzzle_ids=1, puzzle_emb_ndim=64, puzzle_tokens=1)
CONFIG = ModelConfig.preset("hrm-27m", front=FRONT, hidden_size=64, num_heads=1, H_layers=1, L_layers=1)


@pytest.fixture
def model() -> HRM:
    return HRM(CONFIG, generator=torch.Generator().manual_seed(5))


def same(one: HRM, other: HRM) -> bool:
    weights = other.state_dict()
    return one.config == other.config and all(
        torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items()
    )


def test_our_folder_comes_back_whole(model: HRM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    loaded = HRM.from_pretrained(tmp_path / "model")
    assert same(loaded, model)
    assert not loaded.training
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert ModelConfig.from_plain(config) == CONFIG
    assert same(HRM.from_pretrained(tmp_path / "model" / "model.safetensors"), model)


def test_both_forms_are_recognised(model: HRM, tmp_path: Path) -> None:
    save_official(model, tmp_path)
    assert same(HRM.from_pretrained(tmp_path), model)
    (tmp_path / "checkpoint").rename(tmp_path / "any.pt")
    assert same(HRM.from_pretrained(str(tmp_path / "any.pt")), model)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "weights.pt", "weights.pth", "weights.bin", "step_10", "step_10.pt"]
)
def test_a_published_file_is_found_in_its_folder(name: str, model: HRM, tmp_path: Path) -> None:
    save_official(model, tmp_path)
    (tmp_path / "checkpoint").rename(tmp_path / name)
    assert same(HRM.from_pretrained(tmp_path), model)


def test_published_safetensors_are_found_under_any_name(model: HRM, tmp_path: Path) -> None:
    save_official(model, tmp_path)
    (tmp_path / "checkpoint").unlink()
    save_file(
        {name: tensor.contiguous() for name, tensor in to_official(model).items()},
        tmp_path / "hrm.safetensors",
    )
    assert same(HRM.from_pretrained(tmp_path), model)


def test_several_unknown_weights_files_are_named(model: HRM, tmp_path: Path) -> None:
    for name in ("a.pt", "b.bin"):
        torch.save(to_official(model), tmp_path / name)
    with pytest.raises(
        CheckpointError, match=r"several weights files \(a\.pt, b\.bin\): give the path of one"
    ):
        HRM.from_pretrained(tmp_path)


def test_options_reach_the_published_form(model: HRM, tmp_path: Path) -> None:
    save_official(model, tmp_path)
    bare = HRM.from_pretrained(tmp_path, has_puzzles=False)
    torch.testing.assert_close(
        bare.inner.puzzle_emb.weights, model.inner.puzzle_emb.weights.mean(0, keepdim=True)
    )


def test_a_training_run_is_read_at_its_last_step(model: HRM, tmp_path: Path) -> None:
    save_official(HRM(CONFIG), tmp_path)
    (tmp_path / "checkpoint").rename(tmp_path / "step_900")
    torch.save(to_official(model), tmp_path / "step_1000")
    assert same(HRM.from_pretrained(tmp_path), model)


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        HRM.from_pretrained(tmp_path)


def test_a_model_of_sensors_is_not_one_of_puzzles(tmp_path: Path) -> None:
    sensors = ModelConfig.preset("loop", front=ObservationFront(source_dims=(2,)))
    save_model(tmp_path / "model.safetensors", ObservationModel(sensors))
    with pytest.raises(CheckpointError, match="sensors"):
        HRM.from_pretrained(tmp_path)


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "a/b/c", "model"])
def test_what_is_neither_a_path_nor_a_repository_is_one_line(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match="no such file or folder"):
        HRM.from_pretrained(source)


def test_a_repository_is_fetched_and_read(
    model: HRM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_official(model, tmp_path)
    asked: list[str] = []

    def download(repository: str, **options: Any) -> str:
        asked.append(repository)
        assert "checkpoint" in options["allow_patterns"]
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *args, **options: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert same(HRM.from_pretrained("sapientinc/HRM-checkpoint-sudoku-extreme"), model)
    assert asked == ["sapientinc/HRM-checkpoint-sudoku-extreme"]


def fail_with(error: Exception) -> Callable[..., Any]:
    def fail(*args: object, **options: object) -> Any:
        raise error

    return fail


def test_without_a_network_it_is_one_line_after_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[bool] = []

    def lookup(*args: object, local_files_only: bool, **options: object) -> str:
        requests.append(not local_files_only)
        raise FileNotFoundError("not cached")

    unreached = ConnectionError("Name or service\nnot known")
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", fail_with(unreached))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lookup)
    with pytest.raises(CheckpointError) as caught:
        HRM.from_pretrained("sapientinc/HRM-checkpoint-ARC-2")
    assert str(caught.value) == (
        "sapientinc/HRM-checkpoint-ARC-2: not a path, not in the hub's cache, and the hub cannot be reached"
        " (Name or service not known): check the network, or give a path"
    )
    assert requests == [False]  # the cache alone: a download would retry for half a minute


def test_without_a_network_the_cache_is_used(
    model: HRM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_official(model, tmp_path)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", fail_with(ConnectionError("offline")))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **options: str(tmp_path))
    assert same(HRM.from_pretrained("sapientinc/HRM-checkpoint-ARC-2"), model)


def test_a_failed_download_is_complete_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    long = (
        "Cannot write the file. " + "The disk is full, and this sentence is long" + ", very long" * 40 + "."
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *args, **options: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail_with(OSError(long)))
    with pytest.raises(CheckpointError, match=r"^a/b: download failed: Cannot write the file$"):
        HRM.from_pretrained("a/b")


def test_pushing_uploads_what_save_pretrained_writes(model: HRM, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: dict[str, list[str]] = {}

    class Client:
        def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> str:
            assert private
            return f"hub:{repository}"

        def upload_folder(self, *, repo_id: str, folder_path: Path) -> None:
            uploaded[repo_id] = sorted(path.name for path in folder_path.iterdir())

    monkeypatch.setattr(huggingface_hub, "HfApi", Client)
    assert model.push_to_hub("someone/sudoku") == "hub:someone/sudoku"
    assert uploaded == {"someone/sudoku": ["config.json", "model.safetensors"]}


def test_a_push_that_fails_is_one_line(model: HRM, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("401\nno token")

    monkeypatch.setattr(huggingface_hub, "HfApi", fail)
    with pytest.raises(CheckpointError, match="not pushed: 401 no token"):
        model.push_to_hub("someone/sudoku")
