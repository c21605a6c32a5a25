"""`sage plot` writes every plot and lists what is not plotted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.cli.main import invoke
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard

PUZZLE, ANSWER = ".4..1.42.23.....", "2413134242313124"
FRONT = TokenFront(vocab_size=6, seq_len=16, positions="learned")


def test_plot_draws_a_run_and_lists_what_is_not_plotted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/lm_loss": 2.0}) + "\n")
    assert invoke(["plot", str(run), "--out", str(out)]) == 0
    assert "not plotted: architecture, answers, states, halting" in capsys.readouterr().out
    model = HRM(ModelConfig.preset("tiny", front=FRONT), generator=torch.Generator().manual_seed(0))
    save_published(run / "model", model, TaskCard(task="sudoku", options={"size": 4}))
    assert (
        invoke(
            ["plot", str(run), "--out", str(out), "--segments", "2", "--puzzle", PUZZLE, "--format", "svg"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "not plotted: attention: this model has no attention (mixer: mlp)" in printed
    names = {path.stem for path in out.glob("*.svg")}
    assert names == {"training", "architecture", "flow", "answer", "forming", "states", "halting"}


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plot", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert invoke(["plot", str(tmp_path), "--format", "gif"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_json_lists_the_files_and_what_is_not_plotted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "train/lm_loss": 2.0}) + "\n")
    assert invoke(["plot", str(tmp_path), "--out", str(tmp_path), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert written["paths"] == [str(tmp_path / "training.png")]
    assert len(written["left_out"]) == 1
