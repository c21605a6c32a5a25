"""`sage train`: its output, its files, and its errors."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.terminal.signals import install_signal_handlers
from sage.hrm_core.datasets.layout import write_ungrouped
from sage.hrm_core.evaluation.report import EvalReport
from sage.hrm_core.tasks.catalogue import make_task
from sage.hrm_core.tasks.contract import Examples
from sage.hrm_core.training.checkpoints import CheckpointFolder
from sage.hrm_core.training.learner import Learner, StepFacts
from sage.hrm_core.training.stream import RowStream

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
    assert "contains a run: continue it with --resume" in capsys.readouterr().err


def test_a_run_that_its_torchrun_starts_again_continues(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", "patterns", *TINY, "--out", str(tmp_path / "run")]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    assert invoke(train) == 0
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-8")
    assert invoke(train) == 2
    assert "contains a run: continue it with --resume" in capsys.readouterr().err
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    assert invoke([*train, "--set", "train.steps=5"]) == 0
    assert "continues from its last checkpoint" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "model-last" / "task.json").read_text())["trained"]["steps"] == 5


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["brackets"], "in the checkpoint and"),
        (["patterns", "--set", "task.hidden=2"], "tasks is"),
        (["patterns", "--batch-size", "8"], "batch_size is 4 in the checkpoint and 8 here"),
        (["patterns", "--seed", "3"], "seed is 0 in the checkpoint and 3 here"),
        (["patterns", "--set", "train.micro_batches=3"], "batch_size is 4: give a multiple of 3"),
    ],
)
def test_a_refused_resume_changes_no_file(
    run_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = _files(run_folder)
    name, *options = arguments
    assert invoke(["train", name, *TINY, *options, "--out", str(run_folder), "--resume"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert _files(run_folder) == before


@pytest.mark.parametrize("text", ["", "[[", "[1]", '{"recipe": 3}', "{}", "[" * 9000])
def test_a_damaged_run_file_is_one_line(
    run_folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = run_folder / "run.json"
    before = path.read_text()
    path.write_text(text)
    try:
        assert invoke(["train", "patterns", *TINY, "--out", str(run_folder), "--resume"]) == 2
    finally:
        path.write_text(before)
    error = capsys.readouterr().err
    assert "run.json: cannot be read" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--set", "train.micro_batches=3"], ["--wandb"], ["--tensorboard"]])
def test_a_refused_run_leaves_no_folder(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    for module in ("wandb", "tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)  # as if not installed
    assert invoke(["train", "patterns", *TINY, *arguments, "--out", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["train", "patterns", *TINY, "--out", "/proc/run"]) == 2
    error = capsys.readouterr().err
    assert "--out /proc/run: cannot write there" in error
    assert len(error.splitlines()) == 1


def test_a_disk_that_fills_up_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CheckpointFolder, "save", fail)
    assert invoke(["train", "patterns", *TINY, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines() == ["sage: cannot write the output: no space left on device"]


def test_a_run_that_diverges_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--lr", "1e6", "--set", "train.max_bad_steps=1", "--set", "train.optimizer.warmup_steps=0"]
    options += ["--steps", "12"]
    assert invoke(["train", "patterns", *TINY, *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "lower the learning rate" in error
    assert len(error.splitlines()) == 1


def test_a_run_that_diverges_leaves_the_model_of_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Learner.step

    def diverge(learner: Learner, number: int, stream: RowStream) -> StepFacts:
        facts = step(learner, number, stream)
        return dataclasses.replace(facts, is_finite=number < 3)

    monkeypatch.setattr(Learner, "step", diverge)
    options = ["--set", "train.max_bad_steps=1", "--set", "train.eval_every=2"]
    assert invoke(["train", "patterns", *TINY, *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "lower the learning rate" in error
    assert len(error.splitlines()) == 1
    assert json.loads((tmp_path / "run" / "model" / "task.json").read_text())["trained"]["steps"] == 2


def test_the_files_of_a_tasks_options_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.txt").write_text("to be or not to be, that is the question\n" * 10)
    options = ["--set", "task.path=some.txt", "--set", "task.length=8", "--set", "model.mixer=attention"]
    assert invoke(["train", "text", *TINY, *options, "--out", "run"]) == 0
    card = json.loads((tmp_path / "run" / "model" / "task.json").read_text())
    assert card["options"] == {"path": str(tmp_path / "some.txt"), "length": 8}
    monkeypatch.chdir("/")
    assert invoke(["eval", str(tmp_path / "run"), "--num", "4", "--segments", "1"]) == 0


def test_a_file_without_puzzles_is_one_line_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "empty.csv"
    table.write_text("source,question,answer,rating\n")
    out = tmp_path / "run"
    assert invoke(["train", "sudoku", *TINY, "--data", str(table), "--out", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()


def test_a_dry_run_of_a_large_batch_takes_small_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    take = RowStream.take

    def counted(stream: RowStream, num: int) -> Examples:
        sizes.append(num)
        return take(stream, num)

    monkeypatch.setattr(RowStream, "take", counted)
    tiny = ["4096" if each == "4" else each for each in TINY]
    assert invoke(["train", "patterns", *tiny, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert max(sizes) == 8
    assert "3 steps of 4096 rows" in printed
    assert "all steps   about" in printed


def test_epochs_of_generated_puzzles_have_a_stated_size(capsys: pytest.CaptureFixture[str]) -> None:
    options = [each for each in TINY if each not in ("--steps", "3")]
    assert invoke(["train", "patterns", *options, "--epochs", "2", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 500


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_leaves_a_checkpoint_that_resumes(
    sent: signal.Signals,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = {each: signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGTERM)}
    step = Learner.step

    def hang_up(learner: Learner, number: int, stream: RowStream) -> StepFacts:
        if number == 2:
            signal.raise_signal(sent)
        return step(learner, number, stream)

    out = ["--out", str(tmp_path / "run")]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        install_signal_handlers()
        with monkeypatch.context() as patch:
            patch.setattr(Learner, "step", hang_up)
            assert invoke(["train", "patterns", *TINY, *out]) == code
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert "interrupted: " in capsys.readouterr().out
    assert invoke(["train", "patterns", *TINY, *out, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3


def _damage(folder: Path, which: str) -> Path:
    """Alter one byte of the checkpoint that `which` names; the file."""
    path = folder / "checkpoints" / (folder / "checkpoints" / which).read_text().strip()
    file = next(path.glob("shared-*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    return file


def test_a_run_resumes_from_the_newest_checkpoint_that_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    run = ["train", "patterns", *TINY, "--set", "train.eval_every=1", "--out", str(out)]
    scores = iter((0.9, 0.9, 0.1, 0.1))
    with monkeypatch.context() as patch:
        patch.setattr(EvalReport, "score", property(lambda _: next(scores)))
        assert invoke([*run, "--json"]) == 0  # step 1 is the best
    damaged = _damage(out, "last")
    capsys.readouterr()
    assert invoke([*run, "--resume", "--json"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert str(damaged) in line
    assert json.loads(line)["used"] == "step-00000001"
    assert json.loads(printed.out)["steps"] == 3
    assert (damaged.parent / "damaged").is_file()
    assert invoke([*run, "--resume", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_a_damaged_best_checkpoint_costs_no_model(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder / "checkpoints"
    shutil.copytree(folder / (folder / "best").read_text().strip(), folder / "step-00000000")
    (folder / "best").write_text("step-00000000\n")
    damaged = _damage(run_folder, "best")
    shutil.rmtree(run_folder / "model")
    assert invoke(["train", "patterns", *TINY, "--out", str(run_folder), "--resume"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert str(damaged) in line
    assert (run_folder / "model" / "task.json").is_file()


def test_without_another_checkpoint_the_error_states_what_to_do(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = _damage(run_folder, "last")
    before = _files(run_folder)
    assert invoke(["train", "patterns", *TINY, "--out", str(run_folder), "--resume"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(damaged) in line
    assert "it is the only checkpoint: restore this file from a copy, or start a new run" in line
    assert _files(run_folder) == before


def test_a_signal_ends_a_dry_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    step = Learner.step
    numbers = []

    def terminate(learner: Learner, number: int, stream: RowStream) -> StepFacts:
        numbers.append(number)
        signal.raise_signal(signal.SIGTERM)
        return step(learner, number, stream)

    monkeypatch.setattr(Learner, "step", terminate)
    assert invoke(["train", "patterns", *TINY, "--dry-run"]) == 143
    assert numbers == [1]
    assert capsys.readouterr().out == ""


def test_a_file_without_puzzles_to_evaluate_on_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
    table, out = tmp_path / "puzzles.csv", tmp_path / "run"
    table.write_text(f"source,question,answer,rating\nme,{'.' * 5 + solved[5:]},{solved},1\n")
    assert invoke(["train", "sudoku", *TINY, "--data", str(table), "--out", str(out)]) == 2
    assert "no held-out puzzles: give a data set, or a second file" in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture
def sudokus(tmp_path: Path) -> list[Path]:
    """Two CSV files of 6x6 sudokus, to train and to evaluate on."""
    task, paths = make_task("sudoku", size=6), []
    for rows, name in ((task.sample(4, np.random.default_rng(0)), "train"), (task.held_out(4), "dev")):
        pairs = [",".join(map(task.decode, each)) for each in zip(rows.inputs, rows.labels)]  # type: ignore[attr-defined]
        path = tmp_path / f"{name}.csv"
        path.write_text("question,answer\n" + "\n".join(pairs) + "\n")
        paths.append(path)
    return paths


def test_a_run_resumes_with_the_files_that_it_was_trained_on(
    sudokus: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, dev = sudokus
    run = ["train", "sudoku", *TINY, "--set", "task.size=6", "--out", str(tmp_path / "run")]
    longer = ["5" if each == "3" else each for each in run] + ["--resume"]
    assert invoke([*run, "--data", str(train), "--eval-data", str(dev)]) == 0
    before = _files(tmp_path / "run")
    for given, message in (
        ([], f"the run was trained with --data {train}: give the same"),
        (["--data", str(train)], f"the run was trained with --eval-data {dev}: give the same"),
        (["--data", str(dev), "--eval-data", str(train)], f"--data {train}, and {dev} has another content"),
    ):
        capsys.readouterr()
        assert invoke([*longer, *given]) == 2
        error = capsys.readouterr().err
        assert message in error or (not given[2:] and "no held-out puzzles" in error)
        assert len(error.splitlines()) == 1
        assert _files(tmp_path / "run") == before
    moved = train.rename(tmp_path / "moved.csv")
    assert invoke([*longer, "--data", str(moved), "--eval-data", str(dev)]) == 0


def test_a_file_to_evaluate_on_that_no_task_would_read_is_refused(
    sudokus: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, dev = sudokus
    run = ["train", "sudoku", *TINY, "--set", "task.size=6", "--out", str(tmp_path / "run")]
    assert invoke([*run, "--eval-data", str(dev)]) == 2
    error = capsys.readouterr().err
    assert error == f"sage: --eval-data {dev}: needs --data, what to train on: add it, or leave this out\n"
    grids = np.arange(32).reshape(2, 16) % 4 + 1
    for side in ("train", "test"):
        write_ungrouped(tmp_path / "built" / side, grids, grids, vocab_size=6, forms=1)
    assert invoke([*run, "--data", str(tmp_path / "built"), "--eval-data", str(dev)]) == 2
    assert "has an evaluation side of its own" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_size_than_the_recipe_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, data = make_task("sudoku", size=6), tmp_path / "data"
    for side, rows in (("train", task.sample(4, np.random.default_rng(0))), ("test", task.held_out(4))):
        write_ungrouped(data / side, rows.inputs, rows.labels, vocab_size=8, forms=1)
    run = ["train", "sudoku4", *TINY, "--data", str(data), "--out", str(tmp_path / "run")]
    assert invoke(run) == 2
    error = capsys.readouterr().err
    assert "of 36 cells and 8 symbols, task sudoku of sudoku4 has 16 and 6: add --set task.size=6" in error
    assert not (tmp_path / "run").exists()
    sized = ["--set", "task.size=6", "--set", "task.givens=null"]
    assert invoke([*run, *sized]) == 0
    assert json.loads((tmp_path / "run" / "model" / "task.json").read_text())["options"]["size"] == 6


def test_two_processes_do_not_train_in_one_folder(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = ["5" if each == "3" else each for each in TINY]
    with (run_folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = _files(run_folder)
        assert invoke(["train", "patterns", *longer, "--out", str(run_folder), "--resume"]) == 2
    error = capsys.readouterr().err
    assert f"--out {run_folder}: another process trains there: wait for it" in error
    assert len(error.splitlines()) == 1
    assert _files(run_folder) == before
