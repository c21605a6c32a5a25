"""`sage train --from-search`: searches, episodes in the run's folder, resuming, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke

TINY = (
    "--preset", "tiny", "--batch-size", "4", "--set", "train.eval_examples=8",
    "--set", "train.eval_segments=[1, 2]", "--quiet",
)  # fmt: skip
SEARCH = ("--from-search", "sudoku4", "--search-puzzles", "6", "--search-calls", "60")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert invoke(["train", "sudoku4", *TINY, "--steps", "3", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def searched(trained: Path) -> Path:
    """A run that continued from it with what it found by search."""
    folder = trained.parent / "searched"
    assert invoke([*_train(trained, "4", *SEARCH), "--out", str(folder)]) == 0
    return folder


def _train(start: Path, steps: str, *arguments: str) -> list[str]:
    return ["train", "sudoku4", *TINY, "--steps", steps, "--from", str(start), *arguments]


def _error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert invoke(arguments) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    return error


def test_a_run_keeps_its_episodes_and_resumes_without_searching(
    searched: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = json.loads((searched / "episodes" / "source.json").read_text())
    assert source["num_puzzles"] == 6
    assert source["settings"]["search"] == 60
    run = json.loads((searched / "run.json").read_text())
    assert run["from"] == str(trained)
    assert run["from_search"]["source"] == "sudoku4"
    part = (searched / "episodes" / "part-00000.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    again = [*_train(trained, "5", *SEARCH), "--out", str(searched), "--resume"]
    assert invoke([*again, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 5
    assert found["searched"]["num_puzzles"] == 6
    assert found["searched"]["num_calls"] <= 6 * 60
    assert (searched / "episodes" / "part-00000.safetensors").stat().st_mtime_ns == part
    told = _error([*again, "--search-share", "0.2"], capsys)
    assert "from_search is" in told


def test_episodes_serve_another_run(
    searched: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    arguments = _train(trained, "2", "--from-search", str(searched / "episodes"))
    assert invoke([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert "puzzles solved" in capsys.readouterr().out
    assert not (tmp_path / "run" / "episodes").exists()


def test_the_answers_of_a_file_are_not_read(trained: Path, tmp_path: Path) -> None:
    """Its answers are wrong, which a reader of them would refuse."""
    file = tmp_path / "puzzles.csv"
    file.write_text("source,question,answer,rating\na,.4..1.42.23.....,none,0\na,.1..4.2..43..2..,4444,0\n")
    arguments = _train(trained, "2", "--from-search", str(file), "--search-calls", "60")
    assert invoke([*arguments, "--out", str(tmp_path / "run")]) == 0
    source = json.loads((tmp_path / "run" / "episodes" / "source.json").read_text())
    assert (source["puzzles"], source["num_puzzles"]) == ("puzzles.csv", 2)


def test_a_file_may_be_a_recipe(trained: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "few.yaml"
    recipe.write_text("task: {name: sudoku, size: 4, givens: [4, 5]}\n")
    search = ("--from-search", str(recipe), "--search-puzzles", "2", "--search-calls", "60")
    assert invoke([*_train(trained, "2", *search), "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "episodes" / "part-00000.safetensors").is_file()


def test_a_model_continues_from_another(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["train", "sudoku4", "--from", str(trained), "--steps", "1", "--quiet", "--out", str(folder)]
    settings = ["--set", "train.eval_examples=4", "--batch-size", "2"]
    assert invoke([*arguments, *settings]) == 0
    configs = [json.loads((run / "model" / "config.json").read_text()) for run in (trained, folder)]
    assert configs[0] == configs[1]  # its own architecture, not the recipe's preset


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sudoku4", "--from-search", "sudoku4"], "an untrained model finds little"),
        (["sudoku4", "--from", "sudoku4", "--from-search", "sudokuu"], "did you mean sudoku"),
        (["sudoku4", "--from", "sudoku4", "--from-search", "patterns"], "name is patterns, of sudoku4"),
        (["sudoku4", "--from", "sudoku4", "--from-search", "sudoku6"], "vocab_size is 8, of sudoku4 6"),
        (["sudoku4", "--from", "sudoku4", "--from-search", "."], "a folder without episodes"),
        (["sudoku4", "--from", "sudoku4", "--from-search", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["sudoku4", "--from", "sudoku9", "--from-search", "sudoku4"], "--from sudoku9"),
        (["sudoku4", "--from", "no/such/model"], "no/such/model"),
        (["patterns", "--from-search", "patterns", "--search-calls", "0"], "--search-calls 0"),
        (["patterns", "--from-search", "patterns", "--search-share", "2"], "--search-share 2"),
        (["multitask_small", "--from-search", "sudoku4"], "is a mixture"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = _error(["train", *arguments, "--out", str(tmp_path / "run"), "--steps", "1", "--quiet"], capsys)
    assert told in error
    assert not (tmp_path / "run").exists()
