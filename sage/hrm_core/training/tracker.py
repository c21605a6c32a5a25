"""A run's results: metrics, models, and a readable unique name.

Invariant: NaN is null in metrics.jsonl. Nothing here needs the network.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from sage.durable import write_file
from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.training.callbacks import Progress

#: Steps between two lines of training metrics: one step's finished rows are only a few puzzles.
LOG_EVERY = 10
_ADJECTIVES = (
    "amber", "bold", "calm", "clear", "deft", "early", "fair", "green", "keen", "late",
    "mild", "plain", "quick", "quiet", "sharp", "slow", "small", "still", "warm", "wide",
)  # fmt: skip
_NOUNS = (
    "brook", "cedar", "crane", "dune", "fern", "field", "finch", "gale", "grove", "heron",
    "lake", "lark", "marsh", "oak", "otter", "pine", "reed", "river", "stone", "wren",
)  # fmt: skip


def make_run_id(name: str, now: datetime | None = None) -> str:
    """`sudoku4-20260131-142530-quiet-heron`: sorts by time, and is unique to 400 in a second."""
    moment = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    return f"{name}-{moment}-{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}"


def _opened(path: Path) -> TextIO:
    """To append lines: what a killed run began to write stays a line of its own."""
    file = path.open("ab+")
    if file.tell():
        file.seek(-1, os.SEEK_END)
        file.write(b"" if file.read() == b"\n" else b"\n")
        file.flush()
    return io.TextIOWrapper(file, encoding="utf-8")


class Sink(Protocol):
    """Another place for figures: W&B, TensorBoard."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class ExperimentTracker:
    """A run's folder: run.json (what it is), metrics.jsonl (one line a call), models by name.

    project_name: the first part of a new run's name.  folder: default experiments/RUN_ID in the current
    directory.
    about: more entries for run.json.  sinks: other places for the metrics.
    It is also a callback of Trainer, and logs under the published trainer's names: train/lm_loss,
    eval/exact_accuracy, ... OSError where the folder cannot be written.
    """

    def __init__(
        self,
        project_name: str = "hrm",
        *,
        folder: Path | str | None = None,
        run_id: str | None = None,
        about: Mapping[str, Any] | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.run_id = run_id or make_run_id(project_name)
        self.folder = Path("experiments") / self.run_id if folder is None else Path(folder)
        self._sinks = tuple(sinks)
        self._next_step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = _opened(self.folder / "metrics.jsonl")
        facts = {
            "run_id": self.run_id,
            "machine": platform.machine(),
            "python": platform.python_version(),
            "num_cpus": os.cpu_count(),
            **(about or {}),
        }
        write_file(self.folder / "run.json", (json.dumps(facts, indent=2, default=str) + "\n").encode())

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one line, and pass it to every sink. step: default one more than the last, from 0."""
        step = self._next_step if step is None else step
        self._next_step = step + 1
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        for sink in self._sinks:
            sink.log(step, metrics)

    def save_model(self, model: HRM, metrics: Mapping[str, Any] | None = None, suffix: str = "") -> Path:
        """Write model.safetensors (model-SUFFIX.safetensors) with weights, config and `metrics`, whole or not
        at all.
        """
        path = self.folder / f"model{'-' if suffix else ''}{suffix}.safetensors"
        save_model(path, model, {"run_id": self.run_id, **(metrics or {})})
        return path

    def close(self) -> None:
        self._file.close()
        for sink in self._sinks:
            sink.close()

    def __enter__(self) -> ExperimentTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def on_step(self, progress: Progress) -> None:
        facts = progress.facts
        if facts.step % LOG_EVERY and facts.step != progress.num_steps and facts.is_finite:
            return
        figures = {f"train/{name}": value for name, value in facts.figures.items()}
        figures |= {
            "train/lr": facts.lr,
            "train/grad_norm": facts.grad_norm,
            "train/count": facts.num_finished,
        }
        figures |= {"train_cpu_seconds": progress.cpu_secs, "bad_steps": progress.num_bad_steps}
        self.log_metrics(figures, facts.step)

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        by_depth = {f"eval/exact_accuracy@{depth.segments}": depth.exact for depth in report.depths}
        baseline = report.best_baseline
        figures = {**report.figures(), **by_depth, "eval/baseline_exact_accuracy": baseline.exact}
        self.log_metrics(figures, step)

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        """The trainer writes the checkpoints."""
