"""`sage environments`: list, check, new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage.app.cli.main import invoke


def test_list_has_the_built_in_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["environments", "list", "--json"]) == 0
    kinds = {each["kind"]: each for each in json.loads(capsys.readouterr().out)}
    assert {"puzzles", "gymnasium", "key_door", "mujoco"} <= set(kinds)
    assert "teacher" in kinds["puzzles"]["keys"]
    assert "hang_secs" not in kinds["puzzles"]["keys"]


def test_check_prints_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["environments", "check", "key_door", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["is_ok"]
    assert len(result["checks"]) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("check pudles", "unknown kind of environment"),
        ("check puzzles", "task is missing"),
        ("check puzzles --set task=sudokku", "did you mean 'sudoku'"),
        ("check puzzles --set task=sudoku --set file=none.csv", "no such file"),
        ("new puzzles", "the kind exists"),
        ("new 9lives", "give lower-case letters"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["environments", *arguments.split()]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_new_writes_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["environments", "new", "pond", "--into", str(tmp_path)]) == 0
    assert (tmp_path / "sage-environment-pond" / "sage_environment_pond.py").is_file()
    assert "sage environments check pond" in capsys.readouterr().out
