"""A text file from a user: with a byte order mark, without one, in another encoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sage.errors import DataError, SageError
from sage.user_file import KeyTwice, parse_user_json, read_user_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_text("größe\n1\n", encoding=encoding)
    assert read_user_text(tmp_path / "a.csv") == "größe\n1\n"


def test_another_encoding_is_one_line_with_the_offset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("größe\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"a\.csv: not UTF-8 at byte 2: save it as UTF-8"):
        read_user_text(tmp_path / "a.csv")
    assert issubclass(DataError, (SageError, ValueError))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', '"a" is given twice, at line 1 column 2 and line 1 column 18: keep one'),
        ('[{"a": 1},\n {"c": {"x": "{,", "\\u0078": []}}]', r'0078" is given twice, at line 2 column 9 and'),
        ('{"a": [",", {"b": 0}],\n\n "b": "a",\n "a": 1}', "given twice, at line 1 column 2 and line 4"),
    ],
)
def test_a_key_that_is_given_twice_is_one_line_with_both_places(text: str, message: str) -> None:
    with pytest.raises(KeyTwice, match=message):
        parse_user_json(text)


@pytest.mark.parametrize("text", ['{"a": {"a": ["a", "a"]}, "b": {"a": 1}}', "1", '[{"a": 1}, {"a": 1}]'])
def test_any_other_text_is_read_as_json(text: str) -> None:
    assert parse_user_json(text) == json.loads(text)


def _read_arc(path: Path) -> object:
    from sage.hrm_core.tasks.arc.source import load_arc

    return load_arc(str(path.parent), "training")


def _read_formulas(path: Path) -> object:
    from sage.hrm_core.tasks.constraint.formulas import load_formulas

    return load_formulas(path)


def _read_submission(path: Path) -> object:
    from sage.hrm_core.tasks.arc.voting import load_submission

    return load_submission(path)


def _read_card(path: Path) -> object:
    from sage.hrm_core.solving.task_card import read_card

    return read_card(path)


def _read_metadata(path: Path) -> object:
    from sage.hrm_core.datasets.layout import _read_metadata

    return _read_metadata(path)


def _read_embodiment(path: Path) -> object:
    from sage.gr00t_integration.embodiment import load_embodiment

    return load_embodiment(path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.json", _read_arc), ("a.jsonl", _read_formulas), ("b.json", _read_submission),
        ("task.json", _read_card), ("dataset.json", _read_metadata), ("e.yaml", _read_embodiment),
    ],
)  # fmt: skip
def test_every_reader_of_a_users_file_refuses_a_key_that_is_given_twice(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    path.write_text('{"task": 1, "task": 2}')
    with pytest.raises(SageError, match=rf"{name}.*task.* is given twice.*: keep one"):
        read(path)


def test_a_device_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage.user_file.MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="/dev/zero: over 1 MiB: give a smaller file"):
        read_user_text("/dev/zero")
