"""How a run went: losses, accuracies, segments a row; and when a trained model halts.

Invariant: a figure that a line lacks, or that was not finite, is a gap, not a zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.models.plots.figure import BLUE, RED, RULE, TONES, new_figure, set_legend, set_title
from sage.app.terminal.errors import UserError

#: Title -> the figures drawn in it, by the names they are logged under.
_PLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("train/lm_loss", "train/q_halt_loss", "train/q_continue_loss")),
    ("exact accuracy", ("train/exact_accuracy", "eval/exact_accuracy", "eval/exact_accuracy_halting")),
    (
        "accuracy of a cell, and of the decision to halt",
        ("train/accuracy", "eval/accuracy", "train/q_halt_accuracy"),
    ),
    ("segments a row", ("train/steps", "eval/steps")),
)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that are whole; a run that goes on may just be writing the last. UserError
    where none is.
    """
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "step" in said:
            found.append(said)
    if not found:
        raise UserError(f"{path}: no figures in it yet: wait for the first steps")
    return found


def series(metrics: Sequence[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of one figure where it was told."""
    told = [(line["step"], line[name]) for line in metrics if isinstance(line.get(name), (int, float))]
    return np.array([step for step, _ in told]), np.array([value for _, value in told], dtype=float)


def draw_training(metrics: Sequence[dict[str, Any]]) -> Any:
    """Four plots over optimizer steps."""
    figure, axes = new_figure(2, 2, width=9.6, height=6.4)
    for axis, (title, names) in zip(axes.flat, _PLOTS):
        for tone, name in zip(TONES, names):
            steps, values = series(metrics, name)
            if len(steps) and (values != 0).any():
                style = "o-" if name.startswith("eval/") else "-"
                axis.plot(steps, values, style, color=tone, label=name, markersize=4)
        set_title(axis, title)
        axis.set_xlabel("optimizer step")
        axis.grid(color=RULE, linewidth=0.4)
        if title.endswith("accuracy") or title.startswith("accuracy"):
            axis.set_ylim(-0.02, 1.02)
        set_legend(axis)
    return figure


def draw_halting(num_segments: np.ndarray, is_verified: np.ndarray, max_segments: int) -> Any:
    """How many puzzles took how many segments, right ones below, wrong ones hatched above; both (N,)."""
    figure, axes = new_figure(1, 1, width=6.4, height=3.4)
    axis, places = axes[0, 0], np.arange(1, max_segments + 1)
    right, wrong = (
        np.bincount(num_segments[which], minlength=max_segments + 1)[1:]
        for which in (is_verified, ~is_verified)
    )
    axis.bar(places, right, color=BLUE, label="right")
    if wrong.any():
        axis.bar(places, wrong, bottom=right, color="white", edgecolor=RED, hatch="////", label="wrong")
    set_title(
        axis,
        f"{len(num_segments)} held-out puzzles: {is_verified.mean():.1%} right, {num_segments.mean():.2f}"
        " segments each",
    )
    axis.set_xlabel("segments until the model halted")
    axis.set_ylabel("puzzles")
    set_legend(axis)
    return figure
