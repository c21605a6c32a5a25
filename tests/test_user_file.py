"""A text file from a user: with a byte order mark, without one, in another encoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage.errors import DataError, SageError
from sage.user_file import read_user_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("größe\n1\n", encoding=encoding)
    assert read_user_text(tmp_path / "a.csv") == "größe\n1\n"


def test_another_encoding_is_one_line_with_the_offset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("größe\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"a\.csv: not UTF-8 at byte 2: save it as UTF-8"):
        read_user_text(tmp_path / "a.csv")
    assert issubclass(DataError, (SageError, ValueError))
