"""The states of a model over its calls, the dimensions that they use, and its attention.

Invariant: everything is computed from the recorded states; nothing is smoothed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sage.app.models.plots.figure import BLUE, INK, MUTED, ORANGE, new_figure, set_legend, set_title
from sage.errors import InputError
from sage.hrm_core.solving.trajectory import Trajectory, participation_ratio, principal_path, step_sizes

_MAX_MAPS = 8


def draw_states(trajectory: Trajectory) -> Any:
    """Paths of z_H and z_L along their principal axes, the participation ratio call by call, and the size of
    each step.
    """
    figure, axes = new_figure(2, 2, width=8.4, height=6.4)
    nets = (("z_H", trajectory.z_H, ORANGE), ("z_L", trajectory.z_L, BLUE))
    for axis, (name, states, colour) in zip(axes[0], nets):
        _draw_path(axis, principal_path(states[:, 0]), colour)
        set_title(axis, f"{name} of one puzzle, mean over cells")
        axis.set_xlabel("first principal axis")
        axis.set_ylabel("second")
    for name, states, colour in nets:
        at_H = np.linspace(1, trajectory.num_segments, len(states))
        ratios = [participation_ratio(state.reshape(-1, state.shape[-1])) for state in states]
        axes[1, 0].plot(at_H, ratios, color=colour, marker=".", label=name)
        axes[1, 1].plot(at_H[1:], step_sizes(states), color=colour, marker=".", label=name)
    set_title(axes[1, 0], f"participation ratio over the cells of {trajectory.z_H.shape[1]} puzzles")
    set_title(axes[1, 1], "step of each call, relative to the state")
    for axis in axes[1]:
        axis.set_xlabel("segment")
        axis.set_ylim(bottom=0)
        set_legend(axis)
    return figure


def draw_attention(trajectory: Trajectory, grid: tuple[int, int] | None, cell: int) -> Any:
    """Attention from one cell (0 to L - 1) to all cells, in each call of the first segment. None without
    attention.
    """
    if trajectory.attention is None:
        return None
    num_cells = trajectory.answers.shape[-1]
    if not 0 <= cell < num_cells:
        raise InputError(f"cell is {cell}: give 0 to {num_cells - 1}")
    rows, cols = grid or (1, num_cells)
    offset = trajectory.attention.shape[-1] - num_cells  # puzzle tokens come before the cells
    weights = trajectory.attention[:_MAX_MAPS, offset + cell, offset:].reshape(-1, rows, cols)
    figure, axes = new_figure(1, len(weights), width=2.1 * len(weights) + 0.6, height=2.1 * rows / cols + 0.7)
    shown = None
    for index, axis in enumerate(axes[0]):
        shown = axis.imshow(weights[index], cmap="Blues", vmin=0, vmax=float(weights.max()))
        axis.scatter([cell % cols], [cell // cols], marker="s", s=60, facecolors="none", edgecolors=ORANGE)
        set_title(axis, f"call {index + 1}, {trajectory.calls[index]}")
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(shown, ax=list(axes[0]), shrink=0.8, label="weight")
    figure.suptitle(
        f"attention from row {cell // cols + 1}, column {cell % cols + 1}, mean over heads and layers",
        fontsize=10,
    )
    return figure


def _draw_path(axis: Any, path: np.ndarray, colour: str) -> None:
    axis.plot(path[:, 0], path[:, 1], color=colour, marker=".", alpha=0.8)
    for name, place, dy in (("start", path[0], 6), ("end", path[-1], -12)):
        axis.annotate(name, place, textcoords="offset points", xytext=(4, dy), color=INK, fontsize=8)
    axis.axhline(0, color=MUTED, linewidth=0.4)
    axis.axvline(0, color=MUTED, linewidth=0.4)
