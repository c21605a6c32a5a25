"""Plots of training: gaps stay gaps, and halting counts right and wrong answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from sage.app.models.plots.training import draw_halting, draw_training, read_metrics, series
from sage.app.terminal.errors import UserError


def titles(figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes]


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


def test_steps_that_a_resumed_run_took_again_count_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = [(10, 3.0), (20, 2.0), (30, 1.5), (40, 1.0), (30, 1.6), (40, 1.2)]
    path.write_text("".join(json.dumps({"step": step, "train/lm_loss": loss}) + "\n" for step, loss in steps))
    found, values = series(read_metrics(path), "train/lm_loss")
    assert (found.tolist(), values.tolist()) == ([10, 20, 30, 40], [3.0, 2.0, 1.6, 1.2])


def test_halting_counts_right_and_wrong() -> None:
    figure = draw_halting(np.array([1, 1, 3, 3]), np.array([True, True, True, False]), 4)
    assert titles(figure) == ["4 held-out puzzles: 75.0% right, 2.00 segments each"]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [2, 0, 1, 0, 0, 0, 1, 0]


def test_a_run_of_learned_deduction_has_its_own_losses() -> None:
    plain = [{"step": step, "train/lm_loss": 1.0 / step} for step in (1, 2)]
    assert len(draw_training(plain).axes) == 4
    deduction = [{**line, "train/keep_loss": 0.5, "train/lost": 0.25} for line in plain]
    figure = draw_training(deduction)
    assert titles(figure)[4:] == ["losses of learned deduction", "shares of the pool"]
    assert [len(axis.lines) for axis in figure.axes[4:]] == [1, 1]
