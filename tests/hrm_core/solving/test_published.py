"""A model keeps its task beside it, and one that does not fit its task is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sage.hrm_core.checkpoint.errors import CheckpointError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving import published
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard

CARD = TaskCard(task="sudoku", options={"size": 4}, trained={"exact": 0.0, "cpu_seconds": 0})


def test_what_is_saved_comes_back_whole(build_solver_model: Callable[..., HRM], tmp_path: Path) -> None:
    model = build_solver_model()
    save_published(tmp_path / "mine", model, CARD)
    found = load_published(tmp_path / "mine")
    assert found.name == "mine"
    assert found.card == CARD
    assert found.task is not None
    assert found.task.spec.grid == (4, 4)
    assert not found.model.training
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_shipped_name_is_found_but_a_folder_of_that_name_goes_first(
    build_solver_model: Callable[..., HRM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_published(tmp_path / "weights" / "small_one", build_solver_model(), CARD)
    monkeypatch.setattr(
        published, "shipped_folders", lambda: {"small_one": tmp_path / "weights" / "small_one"}
    )
    assert load_published("small_one").card == CARD
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small_one").mkdir()
    with pytest.raises(CheckpointError, match="no model in this folder"):
        load_published("small_one")


def test_an_unknown_name_is_told_which_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "shipped_folders", lambda: {"sudoku4": tmp_path})
    with pytest.raises(CheckpointError, match="shipped: sudoku4"):
        load_published("sudoko4")


def test_a_published_file_of_sudokus_shape_is_taken_for_sudoku(tmp_path: Path) -> None:
    front = TokenFront(vocab_size=11, seq_len=81, positions="learned")
    HRM(ModelConfig.preset("tiny", front=front)).save_pretrained(tmp_path)
    found = load_published(tmp_path)
    assert found.task is not None
    assert found.task.spec.seq_len == 81


def test_a_shape_that_tells_nothing_leaves_the_task_open(
    build_solver_model: Callable[..., HRM], tmp_path: Path
) -> None:
    build_solver_model().save_pretrained(tmp_path)
    assert load_published(tmp_path).task is None


def test_a_task_of_another_size_is_refused(build_solver_model: Callable[..., HRM], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="36 cells of 8 symbols, the model 16 of 6"):
        save_published(tmp_path, build_solver_model(), TaskCard(task="sudoku", options={"size": 6}))


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"task": "sudoku", "options": 3})])
def test_a_broken_card_is_one_line(
    content: str, build_solver_model: Callable[..., HRM], tmp_path: Path
) -> None:
    build_solver_model().save_pretrained(tmp_path)
    (tmp_path / "task.json").write_text(content)
    with pytest.raises(CheckpointError, match="not a task card") as caught:
        load_published(tmp_path)
    assert "\n" not in str(caught.value)
