"""`sage train --track`: what W&B and TensorBoard receive from a training run."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sage.app.cli.main import invoke

TINY = (
    "--preset",
    "tiny",
    "--steps",
    "2",
    "--batch-size",
    "4",
    "--set",
    "train.eval_examples=4",
    "--set",
    "train.eval_segments=[1]",
    "--quiet",
    "--device",
    "cpu",
)


class FakeWandb(ModuleType):
    """Records the calls."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.Settings = SimpleNamespace
        self.__spec__ = ModuleSpec("wandb", None)
        self.begun: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.is_finished = False

    def init(self, **settings: Any) -> SimpleNamespace:
        self.begun = settings
        return SimpleNamespace(log=self._log, finish=self._finish)

    def _log(self, figures: dict[str, float], step: int) -> None:
        self.logged.append((step, figures))

    def _finish(self) -> None:
        self.is_finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_a_run_is_logged_to_wandb_under_its_name(wandb: FakeWandb, tmp_path: Path) -> None:
    run = tmp_path / "run-7"
    assert invoke(["train", "patterns", *TINY, "--out", str(run), "--wandb", "--project", "puzzles"]) == 0
    assert (wandb.begun["project"], wandb.begun["name"], wandb.begun["resume"]) == (
        "puzzles",
        "run-7",
        "allow",
    )
    steps, names = (
        {step for step, _ in wandb.logged},
        {name for _, figures in wandb.logged for name in figures},
    )
    assert steps == {2}
    assert {"train/lm_loss", "eval/exact_accuracy", "eval/q_halt_accuracy"} <= names
    assert wandb.is_finished


def test_tensorboard_reads_what_a_run_wrote(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'sage-runtime[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    assert invoke(["train", "patterns", *TINY, "--out", str(run), "--tensorboard"]) == 0
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    [loss] = events.Scalars("train/lm_loss")
    assert loss.step == 2
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert loss.value == pytest.approx(
        next(line["train/lm_loss"] for line in lines if "train/lm_loss" in line)
    )
    assert "eval/exact_accuracy" in events.Tags()["scalars"]
