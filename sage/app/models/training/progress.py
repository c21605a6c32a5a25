"""A run on the screen: one line that moves, and one that stays for each evaluation.

Invariant: written to stderr; stdout has only the command's output.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sage.app.terminal.figures import number, percent
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.training import callbacks

_SMOOTHING = 0.95


class ProgressBar:
    """A trainer's callback. Use it in a `with`."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[metrics]}"),
        )
        self._progress = Progress(
            *columns, console=console, refresh_per_second=2, disable=not console.is_terminal
        )
        self._console = console
        self._task = self._progress.add_task("train", total=None, metrics="")
        self._loss, self._exact = float("nan"), float("nan")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_step(self, progress: callbacks.Progress) -> None:
        facts = progress.facts
        self._loss = _smoothed(self._loss, facts.figures["lm_loss"])
        if facts.num_finished:
            self._exact = _smoothed(self._exact, facts.figures["exact_accuracy"])
        metrics = (
            f"loss {number(self._loss, 3)}  train exact {percent(self._exact)}  CPU"
            f" {number(progress.cpu_secs, 0)} s"
        )
        if progress.num_bad_steps:
            metrics += f"  {progress.num_bad_steps} steps not finite"
        self._progress.update(self._task, completed=facts.step, total=progress.num_steps, metrics=metrics)

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        self._console.print(f"step {step}: {one_line(report)}", highlight=False)

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        """The checkpoint's own affair."""


def one_line(report: EvalReport) -> str:
    """`exact 41.2% at 16 segments (38.2 to 44.3%), cells 87%; baseline 0.0%; ...`."""
    depth, baseline = report.depths[-1], report.best_baseline
    return (
        f"exact {percent(depth.exact, 1)} of {report.num} at {depth.segments} segments"
        f" ({percent(depth.low, 1)} to {percent(depth.high, 1)}), valid {percent(depth.valid, 1)}, unknown"
        f" cells {percent(depth.unknown_cell, 1)}; baseline {baseline.name} {percent(baseline.exact, 1)};"
        f" input sensitivity {number(report.input_sensitivity)}"
    )


def _smoothed(before: float, now: float) -> float:
    return now if before != before else _SMOOTHING * before + (1 - _SMOOTHING) * now  # NaN is not itself
