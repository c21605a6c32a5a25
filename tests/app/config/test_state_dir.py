"""A state directory is made, private, and proved before a run leans on it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sage.app.config.state_dir import open_state_dir
from sage.app.terminal.errors import UserError


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    made = open_state_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert list(made.iterdir()) == []


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    assert open_state_dir(open_state_dir(tmp_path)) == tmp_path
    assert (tmp_path / "kept").read_text() == "x"


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a directory: give another with --state-dir"):
        open_state_dir(tmp_path / "file")
