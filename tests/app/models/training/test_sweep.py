"""`sage sweep`: settings searched, stopped and gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sage.app.cli.main import invoke
from sage.app.models.training import sweep as sweeping
from sage.app.models.training.space import Sweep, read_sweep
from sage.app.models.training.sweep import run_sweep
from sage.app.models.training.sweep_study import one_process
from sage.app.terminal.errors import UserError
from sage.hrm_core.training.trainer import Trainer, TrainResult

SWEEP = """
recipe: patterns
trials: 5
metric: cell
seed: 3
set: {preset: tiny, train.steps: 2, train.batch_size: 4, train.eval_examples: 8, train.eval_segments: [1]}
search:
  train.optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.L_cycles: {low: 1, high: 3}
  train.q_weight: {choices: [0.1, 0.5]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pytest.importorskip("optuna", reason="optuna is not installed: the extra sweep")
    path = tmp_path / "search.yaml"
    path.write_text(SWEEP)
    return path


def _swept(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert invoke(["sweep", *arguments, "--device", "cpu", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_five_trials_are_run_kept_and_ranked(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _swept(capsys, str(file), "--out", str(tmp_path / "sweep"))
    trials = found["trials"]
    assert isinstance(trials, list)
    assert [trial["number"] for trial in trials] == list(range(5))
    assert len({trial["settings"]["train.optimizer.lr"] for trial in trials}) == 5
    assert all(
        trial["settings"]["model.L_cycles"] in (1, 2, 3) and 0 <= trial["value"] <= 1 for trial in trials
    )
    assert trials[found["best"]]["value"] == max(trial["value"] for trial in trials)  # type: ignore[call-overload]
    kept = json.loads((tmp_path / "sweep" / "trial-0002" / "recipe.json").read_text())
    assert kept["train"]["optimizer"]["lr"] == trials[2]["settings"]["train.optimizer.lr"]


def test_a_sweep_that_was_stopped_goes_on_as_if_it_had_not_been(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _swept(capsys, str(file), "--trials", "4", "--out", str(tmp_path / "whole"))
    part = _swept(capsys, str(file), "--trials", "2", "--out", str(tmp_path / "parts"))
    assert len(part["trials"]) == 2  # type: ignore[arg-type]
    assert (
        _swept(capsys, str(file), "--trials", "4", "--out", str(tmp_path / "parts"))["trials"]
        == whole["trials"]
    )


def test_settings_that_cannot_be_trained_fail_their_trial_alone(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        SWEEP.replace("train.q_weight: {choices: [0.1, 0.5]}", "model.num_heads: {choices: [1, 7]}")
    )
    found = _swept(capsys, str(file), "--trials", "5", "--out", str(tmp_path / "sweep"))
    values = {trial["settings"]["model.num_heads"]: trial["value"] for trial in found["trials"]}  # type: ignore[attr-defined]
    assert values[1] is not None
    assert values.get(7) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("model.L_cycles: {low: 1", "task.termz: {low: 1", "option 'termz': unknown: did you mean 'terms'?"),
        ("train.q_weight: {choices: [0.1, 0.5]}", "model.num_heads: {choices: [7, 11]}", "num_heads"),
        ("metric: cell", "metric: cell\ndata: nowhere", "nowhere"),
    ],
)
def test_a_space_that_cannot_be_trained_is_refused_before_the_first_trial(
    old: str, new: str, told: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(SWEEP.replace(old, new))
    folder = tmp_path / "sweep"
    assert invoke(["sweep", str(file), "--out", str(folder), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert not folder.exists()


def test_a_sweep_that_lacks_trials_is_checked_again_and_a_whole_one_is_shown(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["sweep", str(file), "--out", str(tmp_path / "sweep"), "--device"]
    assert invoke([*run, "cpu", "--trials", "1"]) == 0
    assert invoke([*run, "cuda:77", "--trials", "1"]) == 0
    capsys.readouterr()
    assert invoke([*run, "cuda:77", "--trials", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--device cuda:77" in line
    found = _swept(capsys, str(file), "--out", str(tmp_path / "sweep"), "--trials", "2")
    assert [trial["value"] is None for trial in found["trials"]] == [False, False]  # type: ignore[attr-defined]


def test_a_trial_without_enough_memory_fails_alone(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, numbers = Trainer.train, iter(range(9))

    def train_or_fail(trainer: Trainer, **options: Any) -> TrainResult:
        if next(numbers) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(trainer, **options)

    monkeypatch.setattr(Trainer, "train", train_or_fail)
    found = _swept(capsys, str(file), "--out", str(tmp_path / "sweep"), "--trials", "2")
    assert [trial["value"] is None for trial in found["trials"]] == [True, False]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("trials: 5", "trails: 5", "trails: unknown key; did you mean trials?"),
        ("recipe: patterns", "recipe: paterns", "did you mean patterns?"),
        ("metric: cell", "metric: exakt", "metric is 'exakt': did you mean exact?"),
        ("low: 1, high: 3", "low: 3, high: 3", "search.model.L_cycles: 3 to 3: give low below high"),
        ("low: 1, high: 3", "lo: 1", "give {low: .., high: ..}"),
        ("model.L_cycles", "model.L_cylces", "did you mean model.L_cycles?"),
        ("1e-3, high: 1e-1", "0, high: 1e-1", "above 0 with log: true"),
        ("choices: [0.1, 0.5]", "choices: [0.1, lots]", "train.q_weight is 'lots': give a valid number"),
        ("train.q_weight: {choices: [0.1", "train.micro_batches: {choices: [1, 0", "micro_batches is 0"),
    ],
)
def test_a_wrong_file_is_one_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(SWEEP.replace(old, new))
    with pytest.raises(UserError) as caught:
        read_sweep(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_sweeps_folder_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _swept(capsys, str(file), "--trials", "1", "--out", str(tmp_path / "sweep"))
    file.write_text(SWEEP.replace("seed: 3", "seed: 4"))
    assert invoke(["sweep", str(file), "--out", str(tmp_path / "sweep")]) == 2
    assert "contains another sweep (seed differs)" in capsys.readouterr().err


def test_two_workers_share_one_storage_and_train_different_trials(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker's first trial waits until the other has drawn one, so that both are under way at once."""
    both = threading.Barrier(2, timeout=60)
    waited: set[str] = set()

    def train(sweep: Sweep, settings: dict[str, object], folder: Path, device: str) -> tuple[None, str]:
        if folder.parent.name not in waited:
            waited.add(folder.parent.name)
            both.wait()
        return None, "not trained in this test"

    monkeypatch.setattr(sweeping, "_train", train)
    sweep, storage = read_sweep(file), str(tmp_path / "shared" / "search.log")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_sweep, sweep, tmp_path / name, storage=storage, worker=name) for name in "ab"]
        swept = [run.result() for run in runs]
    last = max(swept, key=lambda each: len(each.trials))
    assert [trial.number for trial in last.trials] == list(range(5))
    assert {trial.worker for trial in last.trials} == {"a", "b"}
    assert len({str(trial.settings) for trial in last.trials}) == 5
    assert all(len(each.trials) + each.num_running == 5 for each in swept)


def test_an_interrupted_trial_goes_on_with_its_own_worker_alone(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = SimpleNamespace(result=SimpleNamespace(is_interrupted=True, signal=15))
    drawn: list[tuple[str, dict[str, object]]] = []

    def train(sweep: Sweep, settings: dict[str, object], folder: Path, device: str) -> tuple[object, str]:
        drawn.append((folder.name, settings))
        return (stopped, "") if len(drawn) == 1 else (None, "not trained in this test")

    monkeypatch.setattr(sweeping, "_train", train)
    sweep, home = replace(read_sweep(file), trials=2), tmp_path / "sweep"
    first = run_sweep(sweep, home, worker="a")
    assert (first.is_interrupted, first.signal) == (True, 15)
    other = run_sweep(sweep, home, worker="b")
    assert [trial.number for trial in other.trials] == [1]
    assert other.num_running == 1
    again = run_sweep(sweep, home, worker="a")
    assert [trial.worker for trial in again.trials] == ["a", "b"]
    assert drawn[2] == drawn[0] == ("trial-0000", again.trials[0].settings)
    with one_process(home, "a"), pytest.raises(UserError, match="give another name"):
        run_sweep(sweep, home, worker="a")


def test_a_database_that_does_not_answer_is_one_line(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "sqlite:////nowhere/at/all.db"
    assert invoke(["sweep", str(file), "--out", str(tmp_path / "sweep"), "--storage", wrong]) == 2
    error = capsys.readouterr().err
    assert f"--storage {wrong}" in error
    assert error.strip().count("\n") == 0


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["search.log", "sqlite:///{folder}/search.db"])
def test_two_processes_on_one_storage_do_one_sweep(file: Path, tmp_path: Path, storage: str) -> None:
    shared = storage.format(folder=tmp_path) if "://" in storage else str(tmp_path / storage)
    commands = [
        [
            *(sys.executable, "-m", "sage", "sweep", str(file), "--out", str(tmp_path / name)),
            *("--worker", name, "--storage", shared, "--device", "cpu", "--json"),
        ]
        for name in ("one", "two")
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    reports = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    trials = max((report["trials"] for report in reports), key=len)
    assert [trial["number"] for trial in trials] == list(range(5))
    assert len({trial["settings"]["train.optimizer.lr"] for trial in trials}) == 5
    for trial in trials:
        home = tmp_path / trial["worker"] / f"trial-{trial['number']:04d}"
        assert json.loads((home / "recipe.json").read_text())["train"]["optimizer"]["lr"] == pytest.approx(
            trial["settings"]["train.optimizer.lr"]
        )
