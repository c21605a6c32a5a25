"""`sage eval`: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.app.cli import invoke


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--segments", "1,x"], "give whole numbers with commas"),
        (["--segments", "0"], "1 or more"),
        (["--option", "size"], "give KEY=VALUE"),
    ],
)
def test_a_wrong_option_is_one_line(arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["eval", str(tmp_path), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_run_that_has_not_ended_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert invoke(["eval", str(tmp_path)]) == 2
    assert "a run that has not ended" in capsys.readouterr().err


def test_a_folder_without_a_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["eval", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
