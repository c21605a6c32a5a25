"""The token is drawn once, and is nobody else's to read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sage.app.http.token import TOKEN_NAME, open_token
from sage.app.terminal.errors import UserError


def test_it_is_drawn_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    token = open_token(tmp_path)
    assert len(token) >= 40
    assert open_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / TOKEN_NAME).stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert open_token(tmp_path / "other") != token


def test_one_of_your_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / TOKEN_NAME
    path.write_text("correct-horse-battery\n")
    path.chmod(0o600)
    assert open_token(tmp_path) == "correct-horse-battery"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_token_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / TOKEN_NAME
    path.write_text("correct-horse-battery\n")
    path.chmod(mode)
    with pytest.raises(UserError, match="other users can read it: remove it"):
        open_token(tmp_path)


@pytest.mark.parametrize("content", ["short", "has a control \x07 character", "naïve-but-long-enough"])
def test_a_file_without_a_token_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / TOKEN_NAME
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(UserError, match="no token of 16 characters"):
        open_token(tmp_path)


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_generated_token_with_a_space_in_place_of_a_character_is_refused(
    place: int, tmp_path: Path
) -> None:
    characters = list(open_token(tmp_path))
    characters[place] = " "
    (tmp_path / TOKEN_NAME).write_text("".join(characters) + "\n")
    with pytest.raises(UserError, match="altered since it was generated"):
        open_token(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("correct-horse-battery\n")
    (tmp_path / TOKEN_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="remove it"):
        open_token(tmp_path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / TOKEN_NAME).mkdir()
    with pytest.raises(UserError, match="remove it"):
        open_token(tmp_path)
