"""W&B and TensorBoard: what they receive, for real and through fakes; a missing package is an error at the
start.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sage.app.cli.main import invoke
from sage.app.models.training.sinks import open_sinks
from sage.app.terminal.errors import UserError

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


class FakeWriter:
    """The part of SummaryWriter that is used."""

    made: list[FakeWriter]

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.is_closed = folder, [], False  # type: ignore[var-annotated]
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[FakeWriter]:
    FakeWriter.made = []
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return FakeWriter.made


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


def test_tensorboard_receives_finite_metrics_only(writers: list[FakeWriter], tmp_path: Path) -> None:
    [sink] = open_sinks(tmp_path, wandb_project=None, tensorboard=True)
    sink.log(3, {"train/lm_loss": 0.5, "train/steps": float("nan")})
    sink.close()
    [writer] = writers
    assert writer.folder == str(tmp_path / "tensorboard")
    assert writer.scalars == [("train/lm_loss", 0.5, 3)]
    assert writer.is_closed


@pytest.mark.parametrize(
    ("module", "project", "told"),
    [
        ("wandb", "sage", "pip install 'sage-runtime.wandb.'"),
        ("torch.utils.tensorboard", None, "pip install 'sage-runtime.tensorboard.'"),
    ],
)
def test_what_is_not_installed_is_one_line(
    module: str, project: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it could not be imported
    with pytest.raises(UserError, match=told):
        open_sinks(tmp_path, wandb_project=project, tensorboard=project is None)


def test_tensorboard_reads_what_a_run_wrote(tmp_path: Path) -> None:
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


def test_wandb_offline_writes_the_metrics_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("CONSOLE", "off")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    run = tmp_path / "run-7"
    [sink] = open_sinks(run, wandb_project="puzzles", tensorboard=False)
    sink.log(3, {"train/lm_loss": 0.5})
    sink.close()
    wandb.teardown()  # waits for the process of wandb that writes the file
    [log] = run.glob("wandb/offline-run-*/run-run-7.wandb")
    content = log.read_bytes()
    assert b"train/lm_loss" in content
    assert b"puzzles" in content
