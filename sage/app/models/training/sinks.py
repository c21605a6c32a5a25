"""Other places for a run's metrics: Weights & Biases, TensorBoard. Off by default.

Invariant: a missing package is a UserError before anything is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sage.app.terminal.errors import UserError
from sage.hrm_core.training.tracker import Sink


class _WandbSink:
    def __init__(self, project: str, folder: Path) -> None:
        try:
            wandb: Any = import_module("wandb")
        except ImportError:
            raise UserError("--wandb: wandb is not installed: pip install 'sage-runtime[wandb]'") from None
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=project, name=folder.name, id=folder.name, dir=str(folder), resume="allow"
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


class _TensorBoardSink:
    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "--tensorboard: tensorboard is not installed: pip install 'sage-runtime[tensorboard]'"
            ) from None
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


def open_sinks(folder: Path, *, wandb_project: str | None, tensorboard: bool) -> list[Sink]:
    sinks: list[Sink] = []
    if wandb_project is not None:
        sinks.append(_WandbSink(wandb_project, folder))
    if tensorboard:
        sinks.append(_TensorBoardSink(folder))
    return sinks
