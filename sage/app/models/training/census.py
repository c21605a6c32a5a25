"""`sage eval --all`: every size of model on every task, beside the untrained baselines.

Invariant: a size without trained weights is named as such, and a task without a model still shows its
baselines: nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sage.app.models.training.evaluating import EvalRequest, Evaluated, evaluate_all
from sage.app.models.training.judging import check_sources
from sage.app.terminal.errors import UserError
from sage.app.terminal.figures import count, number, percent
from sage.errors import SageError

if TYPE_CHECKING:
    from sage.hrm_core.evaluation.report import BaselineScore

#: Puzzles that show the baselines of a task without a model; a maze of 30 x 30 takes a while to make.
MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A model on a task.  preset: the size it was built from, where its card has it."""

    parameters: int | None
    preset: str | None
    evaluated: Evaluated


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """rows: trained models.  untrained: preset -> parameters on 9x9 sudoku.  unlearned: task without a model
    -> its best baseline, or why it cannot be made here."""

    rows: tuple[Row, ...]
    untrained: Mapping[str, int]
    unlearned: Mapping[str, BaselineScore | str]

    def to_plain(self) -> dict[str, Any]:
        import dataclasses

        rows = [
            {
                "model": row.evaluated.name,
                "preset": row.preset,
                "parameters": row.parameters,
                **row.evaluated.report.to_plain(),
            }
            for row in self.rows
        ]
        baselines = {
            name: score if isinstance(score, str) else dataclasses.asdict(score)
            for name, score in self.unlearned.items()
        }
        return {"models": rows, "untrained": dict(self.untrained), "baselines": baselines}


def take_census(request: EvalRequest) -> Census:
    """The shipped models and those named in `request.sources`, each on its own task or tasks."""
    from sage.hrm_core.solving.task_card import shipped_folders

    if request.data is not None or request.task is not None or request.options:
        raise UserError("--all: judges each model on its own task: leave --task, --option and --data out")
    check_sources(request.sources)
    sources = (*shipped_folders(), *request.sources)
    rows = tuple(
        _row(found) for source in sources for found in evaluate_all(replace(request, sources=(source,)))
    )
    learned = {row.evaluated.report.task for row in rows}
    trained = {row.preset for row in rows}
    return Census(
        rows=rows,
        untrained={name: size for name, size in _preset_sizes().items() if name not in trained},
        unlearned=_baselines(learned, request.num or 1000),
    )


def show_census(census: Census) -> str:
    head = (
        f"{'model':<28} {'weights':>11}  {'task':<10} {'exact':>6}  {'95%':<15} {'valid':>6} {'segments':>8} "
        " baseline (exact)"
    )
    lines = [head]
    for row in census.rows:
        report = row.evaluated.report
        depth, halting, baseline = report.depths[-1], report.halting, report.best_baseline
        weights = "–" if row.parameters is None else count(row.parameters)  # noqa: RUF001
        lines.append(
            f"{row.evaluated.name[-28:]:<28} {weights:>11}  {report.task:<10} {percent(depth.exact, 1):>6}  "
            f"{percent(depth.low, 1) + ' to ' + percent(depth.high, 1):<15} {percent(depth.valid, 1):>6} "
            f"{number(halting.mean_segments, 1):>8}  {baseline.name} ({percent(baseline.exact, 1)})"
        )
    if not census.rows:
        lines.append("no model is shipped and none was named: give runs' folders")
    lines += ["", "sizes without trained weights here (parameters on 9x9 sudoku):"]
    lines += [f"  {name:<12} {count(size):>12}" for name, size in census.untrained.items()]
    lines += ["", "tasks without a model, and their best baseline:"]
    for name, score in census.unlearned.items():
        words = (
            score
            if isinstance(score, str)
            else f"{score.name}: exact {percent(score.exact, 1)}, cells {percent(score.cell, 1)}"
        )
        lines.append(f"  {name:<12} {words}")
    return "\n".join(lines)


def _row(found: Evaluated) -> Row:
    from sage.hrm_core.solving.published import num_parameters

    published = found.published
    preset = published.card.trained.get("preset") if published.card is not None else None
    return Row(parameters=num_parameters(published.model), preset=preset, evaluated=found)


def _preset_sizes() -> dict[str, int]:
    """Counted on the meta device: nothing is allocated."""
    import torch

    from sage.hrm_core.config.model import ModelConfig
    from sage.hrm_core.config.presets import preset_names
    from sage.hrm_core.model.hrm import HRM

    sizes = {}
    for name in preset_names():
        if name == "loop":
            continue  # a model of sensors: it has no puzzles
        with torch.device("meta"):
            sizes[name] = sum(weight.numel() for weight in HRM(ModelConfig.preset(name)).parameters())
    return sizes


def _baselines(learned: set[str], num: int) -> dict[str, BaselineScore | str]:
    import numpy as np

    from sage.hrm_core.evaluation.scoring import baselines
    from sage.hrm_core.tasks.catalogue import make_task, targets

    found: dict[str, BaselineScore | str] = {}
    for name in targets():
        if name in (*learned, "mixture", "folder"):
            continue
        try:
            task = make_task(name)
            puzzles, seen = (task.sample(min(num, MOST), np.random.default_rng(seed)) for seed in (0, 1))
            scores = baselines(task, puzzles, seen)
            found[name] = max(scores, key=lambda each: (each.exact, each.cell))
        except SageError as error:
            found[name] = f"not judged: {error}"
    return found
