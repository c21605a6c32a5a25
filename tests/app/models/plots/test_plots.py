"""Plots show computed values, are deterministic, and list what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.cli.main import invoke
from sage.app.models.plots.figure import RED, save_figure
from sage.app.models.plots.puzzles import draw_answer, draw_forming, symbols_of
from sage.app.models.plots.states import draw_attention, draw_states
from sage.app.models.plots.training import draw_halting, draw_training, read_metrics, series
from sage.app.terminal.errors import UserError
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.solving.published import save_published
from sage.hrm_core.solving.task_card import TaskCard
from sage.hrm_core.solving.trajectory import record_trajectory
from sage.hrm_core.tasks.catalogue import make_task

PUZZLE, ANSWER = ".4..1.42.23.....", "2413134242313124"
FRONT = TokenFront(vocab_size=6, seq_len=16, positions="learned")


def cells(text: str) -> np.ndarray:
    return np.array([1 if each == "." else int(each) + 1 for each in text], np.int32)


def titles(figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes]


def test_an_answer_stands_between_puzzle_and_target() -> None:
    task, wrong = make_task("sudoku", size=4), cells(ANSWER)
    wrong[0] = 5
    figure = draw_answer(task, cells(PUZZLE), wrong, cells(ANSWER))
    assert titles(figure) == ["puzzle", "answer: 1 wrong", "target"]
    drawn = ["".join(text.get_text() for text in axis.texts) for axis in figure.axes]
    assert drawn == [PUZZLE.replace(".", ""), symbols_of(task, wrong), ANSWER]
    assert [text.get_color() == RED for text in figure.axes[1].texts] == [True] + [False] * 15
    assert titles(draw_answer(task, cells(PUZZLE), cells(ANSWER)))[1] == "answer: right"
    assert titles(draw_answer(task, cells(PUZZLE), wrong))[1] == "answer"  # nobody knows which cell it is


def test_of_many_segments_the_first_and_the_last_are_shown() -> None:
    answers = np.repeat(cells(ANSWER)[None], 20, axis=0)
    figure = draw_forming(
        make_task("sudoku", size=4), cells(PUZZLE), answers, np.linspace(0, 1, 20), cells(ANSWER)
    )
    shown = titles(figure)
    assert len(shown) == 8
    assert (shown[0], shown[-1]) == ("after 1 (q 0.00): right", "after 20 (q 1.00): right")


def test_a_maze_shows_the_path_and_what_is_wrong_with_it() -> None:
    puzzle = np.full(100, 2, np.int32)
    puzzle[[0, 9, 55]] = 3, 4, 1
    target, answer = puzzle.copy(), puzzle.copy()
    target[1:9], answer[1:8] = 5, 5
    figure = draw_answer(make_task("maze", size=10), puzzle, answer, target)
    assert titles(figure) == ["puzzle", "answer: 1 wrong", "target"]
    right, wrong = figure.axes[1].collections
    assert (len(right.get_offsets()), len(wrong.get_offsets())) == (7, 1)


@pytest.mark.parametrize("mixer", ["mlp", "attention"])
def test_states_and_attention_are_drawn_where_there_are_any(mixer: str, tmp_path: Path) -> None:
    model = HRM(ModelConfig.preset("tiny", front=FRONT, mixer=mixer))
    trajectory = record_trajectory(model, np.tile(cells(PUZZLE), (3, 1)), num_segments=2)
    assert save_figure(draw_states(trajectory), tmp_path / "states.png").stat().st_size > 10_000
    figure = draw_attention(trajectory, (4, 4), 5)
    assert (figure is None) == (mixer == "mlp")
    if figure is not None:
        assert [axis.get_title(loc="left") for axis in figure.axes[:3]] == [
            "call 1, L",
            "call 2, L",
            "call 3, H",
        ]
        with pytest.raises(ValueError, match="cell is 16: give 0 to 15"):
            draw_attention(trajectory, (4, 4), 16)


def test_a_gap_in_the_figures_stays_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 1, "train/lm_loss": 2.0},
        {"step": 2, "train/lm_loss": None},
        {"step": 3, "train/lm_loss": 1.0},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"step": 4, "train/lm')
    metrics = read_metrics(path)
    steps, values = series(metrics, "train/lm_loss")
    assert (steps.tolist(), values.tolist()) == ([1, 3], [2.0, 1.0])
    draw_training(metrics)
    path.write_text("")
    with pytest.raises(UserError, match="no metrics yet"):
        read_metrics(path)


def test_halting_counts_right_and_wrong() -> None:
    figure = draw_halting(np.array([1, 1, 3, 3]), np.array([True, True, True, False]), 4)
    assert titles(figure) == ["4 held-out puzzles: 75.0% right, 2.00 segments each"]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [2, 0, 1, 0, 0, 0, 1, 0]


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    for ending in (".png", ".svg"):
        for name in ("a", "b"):
            save_figure(
                draw_halting(np.array([1, 2]), np.array([True, False]), 2), tmp_path / f"{name}{ending}"
            )
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    with pytest.raises(UserError, match=r"ends in \.png"):
        save_figure(draw_halting(np.array([1, 2]), np.array([True, False]), 2), tmp_path / "a.gif")


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
