"""`sage train` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke

TINY = (
    "--preset", "tiny", "--steps", "3", "--batch-size", "4", "--set", "train.eval_examples=8",
    "--set", "train.eval_segments=[1, 2]", "--quiet",
)  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "run"
    assert invoke(["train", "patterns", *TINY, "--out", str(folder), "--json"]) == 0
    capsys.readouterr()
    return folder


def test_without_a_task_recipes_and_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["train"]) == 0
    printed = capsys.readouterr().out
    assert "sudoku_1k " in printed
    assert "patterns" in printed


def test_a_run_leaves_a_model_figures_and_what_it_was(run_folder: Path) -> None:
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    names = {name for line in lines for name in line}
    assert {
        "train/lm_loss",
        "train/q_halt_accuracy",
        "train/steps",
        "eval/exact_accuracy",
        "train_cpu_seconds",
    } <= names
    card = json.loads((run_folder / "model" / "task.json").read_text())
    assert card["task"] == "patterns"
    assert card["trained"]["steps"] == 3
    assert json.loads((run_folder / "recipe.json").read_text())["train"]["batch_size"] == 4
    assert json.loads((run_folder / "run.json").read_text())["run_id"] == "run"


def test_a_run_goes_on_where_it_stopped(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = ["5" if each == "3" else each for each in TINY]
    assert invoke(["train", "patterns", *longer, "--out", str(run_folder), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 5


def test_a_trained_model_is_evaluated_beside_its_baselines(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["eval", str(run_folder), "--num", "16", "--segments", "1,2", "--failures", "1"]) == 0
    printed = capsys.readouterr().out
    assert "baseline: copy the input" in printed
    assert "input sensitivity" in printed
    assert "puzzle 0" in printed


def test_several_models_give_a_mean_and_a_spread(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(run_folder / "model")
    assert invoke(["eval", model, model, "--num", "8", "--segments", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["models"]) == 2
    assert found["exact_std"] == 0


def test_a_dry_run_takes_a_step_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["train", "patterns", *TINY, "--dry-run", "--json", "--out", str(tmp_path / "run")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["valid_labels"] == 1.0
    assert found["held_out_differ"]
    assert found["steps"] == 3
    assert not list(tmp_path.iterdir())


def test_a_mixture_trains_as_one(tmp_path: Path) -> None:
    recipe = tmp_path / "both.yaml"
    recipe.write_text(
        "tasks: [{name: patterns}, {name: patterns, terms: 5, hidden: 1}]\nvocabulary: offset\n"
    )
    for run, named in (("run", ["both"]), ("again", [])):  # a file alone says what to train
        assert invoke(["train", *named, "--config", str(recipe), *TINY, "--out", str(tmp_path / run)]) == 0
        assert (tmp_path / run / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sudokuu"], "no such task or recipe: did you mean sudoku?"),
        (["patterns", "--resume"], "give its folder with --out DIR"),
        (["patterns", "--preset", "huge"], "preset is 'huge'"),
        (["patterns", "--lr", "-1"], "optimizer.lr is -1.0"),
        (["patterns", "--data", "nowhere"], "--data nowhere: no such file or folder"),
        (["patterns", "--epochs", "2"], "give --steps, or --data"),
        (["patterns", "--set", "task.termz=3"], "option 'termz': unknown: did you mean 'terms'?"),
        (["patterns", "--device", "cuda:77", "--steps", "1"], "--device cuda:77"),
        (["sudoku_1k"], "this recipe trains on files: give --data DIR"),
        (["sudoku4", "--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert invoke(["train", *arguments, "--state-dir", str(tmp_path), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1


def test_a_folder_with_a_run_is_not_written_over(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["train", "patterns", *TINY, "--out", str(run_folder)]) == 2
    assert "holds a run already: go on with --resume" in capsys.readouterr().err
