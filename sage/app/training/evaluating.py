"""`sage eval`: trained models on puzzles they have not seen.

Invariant: every model is judged on the same puzzles, the task's own held-out set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage.app.errors import UserError

if TYPE_CHECKING:
    from sage.hrm_core.evaluation.report import EvalReport
    from sage.hrm_core.tasks.contract import Task

#: What "all" means where puzzles are made fresh and never end.
NUM_FRESH = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """name: what was typed.  puzzles: of the failures, (puzzle, expected) as the task draws them, where it can."""

    name: str
    report: EvalReport
    task: Task

    def failures(self, num: int) -> list[str]:
        """The first `num` puzzles that were not solved, drawn."""
        shown = self.report.failures[:num]
        if not shown:
            return []
        rows = self.task.held_out(max(shown) + 1)
        draw = getattr(self.task, "render", None)
        lines = [f"not solved: {len(self.report.failures)} of {self.report.num}"]
        for row in shown:
            cells = rows.inputs[row]
            lines.append(f"puzzle {row}:\n{draw(cells) if draw else ' '.join(map(str, cells))}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRequest:
    """sources: runs, folders, files, shipped names, hub repositories.  task: None where the model's folder tells it."""

    sources: tuple[str, ...]
    task: str | None = None
    options: dict[str, Any]
    data: Path | None = None
    num: int | None = 1000
    segments: tuple[int, ...] = (1, 2, 4, 8, 16)
    device: str = "cpu"


def evaluate_all(request: EvalRequest) -> list[Evaluated]:
    return [_evaluate(source, request) for source in request.sources]


def parse_segments(text: str) -> tuple[int, ...]:
    """`1,2,16` -> (1, 2, 16)."""
    try:
        segments = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--segments {text}: give whole numbers with commas, e.g. 1,4,16") from None
    if not segments or min(segments) < 1:
        raise UserError(f"--segments {text}: give numbers of segments, 1 or more")
    return segments


def _evaluate(source: str, request: EvalRequest) -> Evaluated:
    from sage.app.training.data import load_data
    from sage.app.training.processes import chosen_device
    from sage.hrm_core.evaluation.evaluate import evaluate
    from sage.hrm_core.solving.published import check_fit, load_published
    from sage.hrm_core.tasks.catalogue import make_task

    device = chosen_device(request.device)
    try:
        published = load_published(_model_of(source), device=str(device))
        card, task = published.card, published.task
        name = request.task or (card.task if card else None)
        options = {**(card.options if card and name == card.task else {}), **request.options}
        if name is None:
            raise UserError(f"{source}: does not tell its task: give --task NAME")
        if request.data is not None:
            task = load_data(name, request.data, options, request.data if request.data.is_file() else None)
        elif task is None or request.task is not None or request.options:
            task = make_task(name, **options)
        check_fit(published.model, task)
        num = request.num if request.num is not None else _num_all(task)
        report = evaluate(published.model, task, num=num, segments=request.segments)
    except ValueError as error:
        raise UserError(f"eval {error}") from error
    return Evaluated(name=source, report=report, task=task)


def _model_of(source: str) -> str:
    """A run's model; or what was typed."""
    run = Path(source).expanduser()
    if (run / "checkpoints").is_dir() or (run / "recipe.json").is_file():
        if not (run / "model").is_dir():
            raise UserError(f"{source}: a run that has not ended: finish it with sage train ... --out {source} --resume")
        return str(run / "model")
    return source


def _num_all(task: Task) -> int:
    """Every loaded evaluation puzzle, or many fresh ones."""
    loaded = getattr(task, "dev", None)
    return NUM_FRESH if loaded is None else max(1, len(loaded))
