"""The architecture of a model, and the flow between its two nets over the cycles of a segment.

Invariant: sizes, counts and cycles are read from the model; the flow shows steps that were computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sage.app.models.plots.figure import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RULE,
    VIOLET,
    new_figure,
    set_legend,
    set_title,
)
from sage.app.terminal.figures import short_count
from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.solving.trajectory import Trajectory, step_sizes

if TYPE_CHECKING:
    from sage.hrm_core.model.hrm import HRM

_MAX_CALLS = 48
#: First letters of a submodule's name -> the box that it is part of.
_PARTS = {
    "L_level": "L",
    "H_level": "H",
    "lm_head": "answer",
    "q_head": "halt",
    "embed": "input",
    "puzzle": "input",
}


def draw_architecture(model: HRM) -> Any:
    """Boxes for input, L net, H net and heads with their sizes; arrows for the data between them."""
    config, counts = model.config, count_parameters(model)
    figure, axes = new_figure(1, 1, width=9.2, height=4.8)
    axis = axes[0, 0]
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 52)
    axis.axis("off")
    total = short_count(sum(parameter.numel() for parameter in model.parameters()))
    set_title(axis, f"{total} parameters; {_recurrence(config)}")
    net = f"{config.num_heads} heads" if config.mixer == "attention" else f"mixer: {config.mixer}"
    shared = ", the same net as L" if config.shares_nets else ""
    _box(axis, (2, 17), (20, 16), BLUE, "input", _input_lines(config), counts.get("input", 0))
    low = [f"{config.L_layers} layers, width {config.L_hidden_size or config.hidden_size}", net]
    high = [f"{config.H_layers} layers, width {config.hidden_size}{shared}", net]
    _box(axis, (37, 4), (27, 16), GREEN, "L net: state z_L", low, counts.get("L", 0))
    _box(axis, (37, 32), (27, 16), ORANGE, "H net: state z_H", high, counts.get("H", 0))
    outputs = [_output_line(config)]
    _box(axis, (78, 32), (20, 16), VIOLET, "answer head", outputs, counts.get("answer", 0))
    q_values = "halt, continue" if config.has_q_continue else "halt"
    values = [q_values, f"read from {config.q_source.replace('_', ' ')}"]
    _box(axis, (78, 4), (20, 16), VIOLET, "Q head", values, counts.get("halt", 0))
    _arrow(axis, (22, 23), (37, 14), "embedding")
    _arrow(axis, (46, 20), (46, 32), f"z_L, after {config.L_cycles} L calls", side="left")
    _arrow(axis, (55, 32), (55, 20), "z_H", side="right")
    _arrow(axis, (64, 42), (78, 42), "")
    _arrow(axis, (64, 36), (78, 16), "")
    return figure


def draw_flow(trajectory: Trajectory, num_shown: int = _MAX_CALLS) -> Any:
    """One column per call of a net, H above L: an arrow leads to the call that reads the state, a larger dot
    is a larger step. Below, the step of each call. At most `num_shown` calls from the first, in whole
    segments.
    """
    pattern = trajectory.calls
    num_segments = max(1, min(trajectory.num_segments, num_shown // len(pattern)))
    calls = pattern * num_segments
    steps = _steps(trajectory, calls)
    figure, axes = new_figure(2, 1, width=max(6.4, 0.24 * len(calls) + 2), height=5.2)
    _draw_schedule(axes[0, 0], calls, len(pattern), steps)
    for net, colour in (("H", ORANGE), ("L", BLUE)):
        places = [place for place, call in enumerate(calls) if call == net]
        axes[1, 0].plot(places, steps[places], color=colour, marker=".", label=f"z_{net}")
    _mark_segments(axes[1, 0], len(calls), len(pattern))
    set_title(axes[1, 0], "step of each call: RMS change over RMS of the state before it")
    axes[1, 0].set_xlabel(f"call of a net, in order; {len(pattern)} calls per segment")
    axes[1, 0].set_ylim(bottom=0)
    set_legend(axes[1, 0])
    return figure


def count_parameters(model: HRM) -> dict[str, int]:
    """Parameters of each box of `draw_architecture`; what is in no box is under "other"."""
    counts: dict[str, int] = {}
    for name, child in model.inner.named_children():
        part = next((part for start, part in _PARTS.items() if name.startswith(start)), "other")
        counts[part] = counts.get(part, 0) + sum(parameter.numel() for parameter in child.parameters())
    return counts


def _recurrence(config: ModelConfig) -> str:
    low = f"{config.L_cycles} L calls and 1 H call"
    return (
        f"a segment is {config.H_cycles} x ({low}); at most {config.halt_max_segments} segments in training"
    )


def _input_lines(config: ModelConfig) -> list[str]:
    front = config.front
    if isinstance(front, TokenFront):
        return [f"{front.seq_len} cells of {front.vocab_size} symbols", f"positions: {front.positions}"]
    return [type(front).__name__.removesuffix("Front").lower()]


def _output_line(config: ModelConfig) -> str:
    front = config.front
    return (
        f"{front.vocab_size} logits per cell" if isinstance(front, TokenFront) else "one output per position"
    )


def _box(
    axis: Any,
    place: tuple[float, float],
    size: tuple[float, float],
    colour: str,
    title: str,
    lines: list[str],
    num_parameters: int,
) -> None:
    (x, y), (width, height) = place, size
    axis.fill_between([x, x + width], y, y + height, facecolor=colour, alpha=0.12, edgecolor=colour)
    axis.plot([x, x + width, x + width, x, x], [y, y, y + height, y + height, y], color=colour, linewidth=1.2)
    text = [*lines, f"{short_count(num_parameters)} parameters" if num_parameters else "no own parameters"]
    axis.text(x + width / 2, y + height - 3, title, ha="center", va="center", fontsize=10, color=INK)
    axis.text(
        x + width / 2, y + height / 2 - 2, "\n".join(text), ha="center", va="center", fontsize=8, color=INK
    )


def _arrow(
    axis: Any, start: tuple[float, float], end: tuple[float, float], label: str, *, side: str = "above"
) -> None:
    axis.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2})
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    shift, align = {"left": ((-1, 0), "right"), "right": ((1, 0), "left"), "above": ((0, 3), "center")}[side]
    axis.text(x + shift[0], y + shift[1], label, ha=align, va="center", fontsize=8, color=INK)


def _steps(trajectory: Trajectory, calls: tuple[str, ...]) -> np.ndarray:
    """(calls,): the relative step of each call; NaN for the first of a net, which has no earlier state."""
    steps = np.full(len(calls), np.nan)
    for net, states in (("H", trajectory.z_H), ("L", trajectory.z_L)):
        places = [place for place, call in enumerate(calls) if call == net]
        steps[places[1:]] = step_sizes(states)[: len(places) - 1]
    return steps


def _draw_schedule(axis: Any, calls: tuple[str, ...], per_segment: int, steps: np.ndarray) -> None:
    rows = {"H": 1.0, "L": 0.0}
    largest = float(np.nanmax(steps)) if np.isfinite(steps).any() else 1.0
    for place, call in enumerate(calls):
        if place:
            start, end = (place - 1, rows[calls[place - 1]]), (place, rows[call])
            axis.annotate(
                "", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": MUTED, "shrinkB": 4}
            )
        size = 60 if np.isnan(steps[place]) else 20 + 160 * steps[place] / max(largest, 1e-12)
        axis.scatter([place], [rows[call]], s=size, color=ORANGE if call == "H" else BLUE, zorder=3)
    _mark_segments(axis, len(calls), per_segment)
    axis.set_yticks([0, 1], ["L", "H"])
    axis.set_ylim(-0.5, 1.5)
    axis.set_xticks([])
    set_title(axis, f"H/L flow over {len(calls) // per_segment} segments; a larger dot is a larger step")


def _mark_segments(axis: Any, num_calls: int, per_segment: int) -> None:
    for place in range(0, num_calls + 1, per_segment):
        axis.axvline(place - 0.5, color=RULE, linewidth=0.8, zorder=0)
    axis.set_xlim(-0.8, num_calls - 0.2)
