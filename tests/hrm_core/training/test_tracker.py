"""The files of a run are readable."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

import pytest

from sage.hrm_core.config.model import ModelConfig, TokenFront
from sage.hrm_core.model.hrm import HRM
from sage.hrm_core.models import load_model
from sage.hrm_core.training.tracker import ExperimentTracker, make_run_id


def test_a_run_id_has_the_task_the_time_and_two_words() -> None:
    name = make_run_id("sudoku4", datetime(2026, 1, 31, 14, 25, 30))
    assert name.startswith("sudoku4-20260131-142530-")
    assert len(name.split("-")) == 5


def test_figures_are_lines_and_nan_is_null(tmp_path: Path) -> None:
    logged = []

    class Sink:
        def log(self, step: int, figures: object) -> None:
            logged.append((step, figures))

        def close(self) -> None:
            logged.append("closed")

    with ExperimentTracker(folder=tmp_path / "run", run_id="a", sinks=[Sink()]) as tracker:
        tracker.log_metrics({"train/lm_loss": 0.5, "train/steps": math.nan}, step=1)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"step": 1, "train/lm_loss": 0.5, "train/steps": None}
    assert logged[-1] == "closed"
    assert len(logged) == 2


@pytest.mark.parametrize("before", ['{"step": 1}\n', '{"step": 1}\n{"step": 2, "tra'])
def test_a_line_that_a_killed_run_began_spoils_no_other(tmp_path: Path, before: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(before)
    with ExperimentTracker(folder=tmp_path) as tracker:
        tracker.log_metrics({"train/lm_loss": 0.5}, step=3)
    first, *_, last = path.read_text().splitlines()
    assert (json.loads(first), json.loads(last)) == ({"step": 1}, {"step": 3, "train/lm_loss": 0.5})
    assert len(path.read_text().splitlines()) == len(before.splitlines()) + 1


def test_a_saved_model_can_be_loaded(tmp_path: Path) -> None:
    model = HRM(ModelConfig.preset("tiny", front=TokenFront(vocab_size=4, seq_len=6, positions="learned")))
    with ExperimentTracker(folder=tmp_path, run_id="quiet-heron") as tracker:
        path = tracker.save_model(model, {"exact": 0.5}, suffix="best")
        assert tracker.save_model(model).name == "model.safetensors"
    assert path == tmp_path / "model-best.safetensors"
    assert load_model(path)[1] == {"run_id": "quiet-heron", "exact": 0.5}


def test_a_project_name_is_enough_and_steps_count_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ExperimentTracker(project_name="my-hrm-research") as tracker:
        tracker.log_metrics({"accuracy": 0.85, "loss": 0.23})
        tracker.log_metrics({"accuracy": 0.9}, step=7)
        tracker.log_metrics({"accuracy": 0.95})
    assert tracker.folder.parent == Path("experiments")
    assert tracker.folder.name.startswith("my-hrm-research-")
    lines = (tracker.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 7, 8]
    assert json.loads((tracker.folder / "run.json").read_text())["run_id"] == tracker.run_id
