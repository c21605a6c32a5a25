"""`sage model`, `sage export`, `sage hub`: figures that were counted, files that were checked, one line when
offline.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sage.app.cli.main import invoke
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import load_published, save_published
from sage.hrm_core.solving.task_card import TaskCard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    front = TokenFront(vocab_size=6, seq_len=16, positions="learned")
    model = HRM(ModelConfig.preset("tiny", front=front), generator=torch.Generator().manual_seed(0))
    save_published(
        tmp_path / "mine", model, TaskCard(task="sudoku", options={"size": 4}, trained={"exact": 0.25})
    )
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("preset", "parameters"), [("hrm-27m", 27_275_266), ("trm-7m", 6_828_034), ("trm-mlp-5m", 5_028_866)]
)
def test_a_published_model_is_drawn_with_its_published_count(
    preset: str, parameters: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["model", "show", preset]) == 0
    first = capsys.readouterr().out.splitlines()[0].split()
    assert first[:3] == ["model", "HRM", f"{parameters:,}"]


def test_the_tree_adds_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["model", "show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["trained"] == {"exact": 0.25}
    below = [each["parameters"] for each in shown["modules"] if each["depth"] == 2]
    own = shown["modules"][1]["shapes"]  # H_init and L_init are no parameters
    assert sum(below) == shown["parameters"]
    assert set(own) == {"H_init", "L_init"}


def test_a_shipped_model_says_how_it_was_trained_and_how_well_in_a_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(["model", "show", "sudoku6"]) == 0
    shown = capsys.readouterr().out
    assert "command: sage train sudoku6" in shown
    assert "of 1,000 held-out puzzles, exact by segments: " in shown
    assert len(shown) < 4000


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["model", "list"]) == 0
    assert "  hrm-27m\n" in capsys.readouterr().out


def test_an_unknown_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["model", "show", "./nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_an_export_is_checked_against_torch(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    out = tmp_path / "mine.onnx"
    assert invoke(["export", str(folder), "--out", str(out), "--check", "4", "--segments", "2"]) == 0
    said = capsys.readouterr().out
    assert "one segment differs from torch by at most" in said
    assert "4 held-out puzzles, 2 segments: exact" in said
    arguments = ["export", str(folder), "--out", str(out), "--check", "4", "--segments", "2", "--json"]
    assert invoke(arguments) == 0
    written = json.loads(capsys.readouterr().out)
    assert (written["check"]["num_puzzles"], written["is_equal"]) == (4, True)
    assert (
        invoke(["solve", "sudoku", ".4..1.42.23.....", "--checkpoint", str(out), "--segments", "1", "--json"])
        == 1
    )
    assert json.loads(capsys.readouterr().out)["model"] == "mine"
    assert invoke(["export", str(out), "--out", str(tmp_path / "again.onnx")]) == 2
    assert "give the checkpoint that was exported" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["mine.bin", "no/such/folder/mine.onnx"])
def test_a_file_that_cannot_be_written_is_one_line(
    out: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    assert invoke(["export", str(folder), "--out", str(tmp_path / out)]) == 2
    assert "ends in .onnx" in capsys.readouterr().err


def test_a_pulled_model_keeps_its_task(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(folder))
    assert invoke(["hub", "pull", "someone/something", "--out", str(tmp_path / "pulled")]) == 0
    assert capsys.readouterr().out.endswith("parameters, sudoku\n")
    assert load_published(tmp_path / "pulled").card == load_published(folder).card
    assert invoke(["hub", "pull", "someone/something", "--out", str(tmp_path / "pulled")]) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_pushed_model_takes_its_task_along(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    sent: dict[str, object] = {}

    class Client:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> str:
            sent.update(name=name, private=private)
            return f"https://hub.example/{name}"

        def upload_folder(self, *, repo_id: str, folder_path: Path) -> None:
            sent["files"] = sorted(path.name for path in folder_path.iterdir())

    monkeypatch.setattr(huggingface_hub, "HfApi", Client)
    assert invoke(["hub", "push", str(folder), "someone/something"]) == 0
    assert capsys.readouterr().out == "https://hub.example/someone/something\n"
    assert sent == {
        "name": "someone/something",
        "private": True,
        "files": ["config.json", "model.safetensors", "task.json"],
    }


def test_offline_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    def refuse(name: str, **_: object) -> str:
        raise OSError("no route to\nthe host")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    assert invoke(["hub", "pull", "someone/something", "--out", str(tmp_path / "pulled")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no route to the host" in said
    assert invoke(["hub", "pull", "something"]) == 2
    assert "give OWNER/NAME" in capsys.readouterr().err
