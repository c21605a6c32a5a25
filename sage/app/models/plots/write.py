"""`sage plot`: every plot of a run or a model.

Invariant: a plot that cannot be drawn is listed with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sage.app.config.names import check_model
from sage.app.models.plots.figure import FORMATS, save_figure
from sage.app.terminal.errors import UserError, user_errors
from sage.app.terminal.logs import only_warnings
from sage.errors import InputError

if TYPE_CHECKING:
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.inference import HRMInference
    from sage.hrm_core.tasks.contract import Task

_NUM_STATE_PUZZLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotOptions:
    """puzzle: as text, None for the first held-out one.  num_held_out: puzzles of the halting histogram.
    cell: the cell whose attention is drawn.
    """

    out: Path
    puzzle: str | None = None
    segments: int = 8
    num_held_out: int = 200
    cell: int = 0
    format: str = "png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """paths: the files, in order.  left_out: one line for each plot that was not drawn."""

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]


def write_plots(source: str, options: PlotOptions) -> Written:
    """source: a run's folder, or whatever `sage solve --checkpoint` takes."""
    if f".{options.format}" not in FORMATS:
        raise UserError(
            f"plot: format {options.format!r}: give one of {', '.join(each[1:] for each in FORMATS)}"
        )
    check_model(source)
    figures: dict[str, Any] = {}
    left_out: list[str] = []
    with only_warnings(), user_errors(f"plot {source}"):
        metrics = Path(source) / "metrics.jsonl"
        if metrics.is_file():
            from sage.app.models.plots.training import draw_training, read_metrics

            figures["training"] = draw_training(read_metrics(metrics))
        if not metrics.is_file() or (Path(source) / "model" / "config.json").is_file():
            figures.update(_draw_model(source, options, left_out))
        else:
            left_out.append("architecture, answers, states, halting: this run has not written a model yet")
    paths = [
        save_figure(figure, options.out / f"{name}.{options.format}") for name, figure in figures.items()
    ]
    return Written(paths=tuple(paths), left_out=tuple(left_out))


def _draw_model(source: str, options: PlotOptions, left_out: list[str]) -> dict[str, Any]:
    from sage.app.models.plots.architecture import draw_architecture
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.inference import HRMInference

    inference = HRMInference(source, dtype=None)
    model = inference.model
    if not isinstance(model, HRM):
        raise InputError("an exported file has no states to draw: give the checkpoint that it was made from")
    figures = {"architecture": draw_architecture(model)}
    if inference.task is None:
        left_out.append("flow, answer, forming, states, attention, halting: this model has no task.json")
    else:
        figures |= _draw_thinking(model, inference, inference.task, options, left_out)
    return figures


def _draw_thinking(
    model: HRM, inference: HRMInference, task: Task, options: PlotOptions, left_out: list[str]
) -> dict[str, Any]:
    from sage.app.models.plots.architecture import draw_flow
    from sage.app.models.plots.puzzles import draw_answer, draw_forming
    from sage.app.models.plots.states import draw_attention, draw_states
    from sage.hrm_core.solving.trajectory import record_trajectory

    inputs, target = _choose_puzzles(inference, task, options)
    trajectory = record_trajectory(model, inputs, num_segments=options.segments)
    figures = {"flow": draw_flow(trajectory)}
    if task.spec.grid is None:
        left_out.append(f"answer, forming: task {task.spec.name} has no grid")
    else:
        figures["answer"] = draw_answer(task, inputs[0], trajectory.answers[-1, 0], target)
        figures["forming"] = draw_forming(
            task, inputs[0], trajectory.answers[:, 0], trajectory.confidence[:, 0], target
        )
    figures["states"] = draw_states(trajectory)
    attention = draw_attention(trajectory, task.spec.grid, options.cell)
    if attention is None:
        left_out.append(f"attention: this model has no attention (mixer: {model.config.mixer})")
    else:
        figures["attention"] = attention
    figures["halting"] = _draw_halting(model, task, options)
    return figures


def _draw_halting(model: HRM, task: Task, options: PlotOptions) -> Any:
    from sage.app.models.plots.training import draw_halting
    from sage.hrm_core.solving.solver import Solver

    held_out = task.held_out(options.num_held_out)
    found = Solver(model, task).solve(
        held_out.inputs, puzzle_ids=held_out.puzzle_ids, max_segments=options.segments
    )
    return draw_halting(found.num_segments, found.is_verified, options.segments)


def _choose_puzzles(
    inference: HRMInference, task: Task, options: PlotOptions
) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs (N, L), the chosen puzzle first and others for the states; and the target (L,) when it is
    known.
    """
    held_out = task.held_out(_NUM_STATE_PUZZLES)
    if options.puzzle is None:
        return held_out.inputs, held_out.labels[0]
    return np.concatenate((inference.encode(options.puzzle)[None], held_out.inputs[1:])), None
