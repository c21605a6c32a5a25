"""`sage plot`: every picture that a run or a model can give.

Invariant: what cannot be drawn is said by name and reason, beside what was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sage.app.models.plots.figure import FORMATS, save_figure
from sage.app.terminal.errors import UserError, user_errors
from sage.app.terminal.logs import only_warnings
from sage.errors import InputError

if TYPE_CHECKING:
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.tasks.contract import Task

_NUM_STATE_PUZZLES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotOptions:
    """puzzle: as text; None takes the first held-out one.  num_held_out: for the histogram.  cell: whose
    attention.
    """

    out: Path
    puzzle: str | None = None
    segments: int = 8
    num_held_out: int = 200
    cell: int = 0
    format: str = "png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """paths: pictures, in order.  left_out: one line for each that could not be drawn."""

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]


def write_plots(source: str, options: PlotOptions) -> Written:
    """source: a run's folder, or whatever `sage solve --checkpoint` takes."""
    if f".{options.format}" not in FORMATS:
        raise UserError(
            f"plot: format {options.format!r}: give one of {', '.join(each[1:] for each in FORMATS)}"
        )
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
            left_out.append("answers, states, halting: this run has written no model yet")
    paths = [
        save_figure(figure, options.out / f"{name}.{options.format}") for name, figure in figures.items()
    ]
    return Written(paths=tuple(paths), left_out=tuple(left_out))


def _draw_model(source: str, options: PlotOptions, left_out: list[str]) -> dict[str, Any]:
    from sage.app.models.plots.puzzles import draw_answer, draw_forming
    from sage.app.models.plots.states import draw_attention, draw_states
    from sage.hrm_core.model.hrm import HRM
    from sage.hrm_core.solving.inference import HRMInference
    from sage.hrm_core.solving.trajectory import record_trajectory

    inference = HRMInference(source)
    model, task = inference.model, inference.task
    if task is None or not isinstance(model, HRM):
        raise InputError(
            "an exported file, or a model whose task is not told: give a checkpoint with its task.json"
        )
    inputs, target = _choose_puzzles(inference, task, options)
    thought = record_trajectory(model, inputs, num_segments=options.segments)
    figures: dict[str, Any] = {}
    if task.spec.grid is None:
        left_out.append(f"answer, forming: task {task.spec.name} has no grid")
    else:
        figures["answer"] = draw_answer(task, inputs[0], thought.answers[-1, 0], target)
        figures["forming"] = draw_forming(
            task, inputs[0], thought.answers[:, 0], thought.confidence[:, 0], target
        )
    figures["states"] = draw_states(thought)
    attention = draw_attention(thought, task.spec.grid, options.cell)
    if attention is None:
        left_out.append(f"attention: this model mixes cells by {model.config.mixer}")
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


def _choose_puzzles(inference: Any, task: Task, options: PlotOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """(N, L): the one that is looked at first, and company for the states; its target where it is known."""
    held_out = task.held_out(_NUM_STATE_PUZZLES)
    if options.puzzle is None:
        return held_out.inputs, held_out.labels[0]
    return np.concatenate((inference.encode(options.puzzle)[None], held_out.inputs[1:])), None
