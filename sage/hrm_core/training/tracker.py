"""What a run leaves to read: its figures, its models, and a name that people can say.

Invariant: a line of metrics.jsonl is whole or absent; nan is null. Nothing here needs a service on the
network.
"""

from __future__ import annotations

import json
import math
import os
import platform
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sage.hrm_core.checkpoint.weights_file import save_model
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.training.callbacks import Progress

#: Figures of finished rows are of a few puzzles each: shown every so many steps, the log stays small.
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


class Sink(Protocol):
    """Another place for figures: W&B, TensorBoard."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class ExperimentTracker:
    """A run's folder: run.json (what it is), metrics.jsonl (a line for each step told), models by name.

    It is a trainer's callback too, and logs by the published trainer's names: train/lm_loss,
    eval/exact_accuracy, ...
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        run_id: str,
        about: Mapping[str, Any] | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.folder, self.run_id, self._sinks = Path(folder), run_id, tuple(sinks)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / "metrics.jsonl").open("a", encoding="utf-8")
        machine = {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "num_cpus": os.cpu_count(),
        }
        told = {"run_id": run_id, **machine, **(about or {})}
        (self.folder / "run.json").write_text(json.dumps(told, indent=2, default=str) + "\n")

    def log_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line, and tell every sink."""
        line = {
            "step": step,
            **{name: value if math.isfinite(value) else None for name, value in metrics.items()},
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for sink in self._sinks:
            sink.log(step, metrics)

    def save_model(self, model: HRM, name: str = "model", metadata: Mapping[str, Any] | None = None) -> Path:
        """Write NAME.safetensors, weights and config, whole or not at all."""
        path = self.folder / f"{name}.safetensors"
        save_model(path, model, {"run_id": self.run_id, **(metadata or {})})
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
        self.log_metrics(
            facts.step,
            {**figures, "train_cpu_seconds": progress.cpu_secs, "bad_steps": progress.num_bad_steps},
        )

    def on_evaluation(self, step: int, report: EvalReport) -> None:
        by_depth = {f"eval/exact_accuracy@{depth.segments}": depth.exact for depth in report.depths}
        baseline = report.best_baseline
        self.log_metrics(
            step, {**report.figures(), **by_depth, "eval/baseline_exact_accuracy": baseline.exact}
        )

    def on_save(self, step: int, path: Path, is_best: bool) -> None:
        """Checkpoints are the trainer's own."""
