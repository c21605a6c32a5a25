"""Plots of a training run (losses, accuracies, segments) and of the halting of a trained model.

Invariant: a value that is missing or not finite is a gap, not a zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.models.plots.figure import BLUE, RED, RULE, TONES, new_figure, set_legend, set_title
from sage.app.terminal.errors import UserError
from sage.errors import InputError

#: Title -> the figures drawn in it, by the names they are logged under.
_PLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("train/lm_loss", "train/q_halt_loss", "train/q_continue_loss")),
    ("exact accuracy", ("train/exact_accuracy", "eval/exact_accuracy", "eval/halting_exact_accuracy")),
    (
        "accuracy per cell, and of the decision to halt",
        ("train/accuracy", "eval/accuracy", "train/q_halt_accuracy"),
    ),
    ("segments per puzzle", ("train/steps", "eval/halting_steps")),
)
#: The same for a run of learned deduction, below the others.
_OF_DEDUCTION: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("losses of learned deduction", ("train/keep_loss", "train/conflict_loss")),
    ("shares of the pool", ("train/conflict_accuracy", "train/lost", "train/wrong_kills")),
)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The complete lines of metrics.jsonl; the last may be incomplete while a run writes it. Of steps that a
    resumed run took again after a kill, those of before are left out. Raises UserError when there is none.
    """
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            while found and found[-1]["step"] > record["step"]:
                found.pop()
            found.append(record)
    if not found:
        raise UserError(f"{path}: no metrics yet: wait for the first steps")
    return found


def series(metrics: Sequence[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of the lines that have `name`; of one step the last."""
    found = {line["step"]: line[name] for line in metrics if isinstance(line.get(name), (int, float))}
    return np.array(list(found)), np.array(list(found.values()), dtype=float)


def draw_training(metrics: Sequence[dict[str, Any]]) -> Any:
    """Four plots over optimizer steps; six of a run of learned deduction."""
    is_deduction = any("train/keep_loss" in line for line in metrics)
    plots = (*_PLOTS, *_OF_DEDUCTION) if is_deduction else _PLOTS
    num_rows = len(plots) // 2
    figure, axes = new_figure(num_rows, 2, width=9.6, height=3.2 * num_rows)
    for axis, (title, names) in zip(axes.flat, plots):
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


def draw_epochs(metrics: Sequence[dict[str, Any]]) -> Any:
    """Loss, accuracy and segments per puzzle over epochs, as far as the lines have them."""
    panels = [
        (title, name)
        for title, name in (
            ("training loss", "total_loss"),
            ("exact accuracy, held out", "eval_accuracy"),
            ("segments per puzzle", "avg_steps"),
        )
        if any(name in line for line in metrics)
    ]
    if not panels or any("epoch" not in line for line in metrics):
        raise InputError("metrics: each needs `epoch` and one of `total_loss`, `eval_accuracy`, `avg_steps`")
    figure, axes = new_figure(1, len(panels), width=3.6 * len(panels), height=3.2)
    for axis, tone, (title, name) in zip(axes[0], TONES, panels):
        found = [(line["epoch"], line[name]) for line in metrics if name in line]
        axis.plot(*zip(*found), "o-", color=tone, markersize=4)
        set_title(axis, title)
        axis.set_xlabel("epoch")
        axis.grid(color=RULE, linewidth=0.4)
    return figure


def draw_halting(num_segments: np.ndarray, is_verified: np.ndarray, max_segments: int) -> Any:
    """Histogram of segments per puzzle, right answers below, wrong ones hatched above. Both arguments:
    (N,).
    """
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
