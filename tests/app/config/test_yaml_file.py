"""YAML as people mean it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sage.app.config.yaml_file import parse_value, parse_yaml, read_yaml
from sage.app.terminal.errors import UserError
from sage.plain_yaml import load_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7e-5", 7e-5),
        ("1e5", 1e5),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("12", 12),
        ("0x10", 16),
        ("true", True),
        ("null", None),
        ("'7e-5'", "7e-5"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("[1, 2e-1]", [1, 0.2]),
        ("2026-11-29", "2026-11-29"),
        ("2026-13-45", "2026-13-45"),
        ("", None),
    ],
)
def test_a_number_is_what_yaml_1_2_says(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(number: float) -> None:
    assert parse_value(repr(number)) == number


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(UserError, match=r"file:4: a\.b: given twice, first on line 2: keep one"):
        parse_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n", "file")


def test_a_key_given_twice_in_a_value_of_set_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"'\{a: 1, b: 2, a: 3\}':1: a: given twice, first on line 1: keep one"
    ):
        parse_value("{a: 1, b: 2, a: 3}")
    assert parse_value("{a: 1, b: {a: 2}}") == {"a": 1, "b": {"a": 2}}
    assert parse_value("") is None


def test_a_key_given_twice_inside_a_list_is_refused() -> None:
    with pytest.raises(UserError, match=r"file:1: a\.0\.b: given twice"):
        parse_yaml("a: [{b: 1, b: 2}]", "file")


def test_variables_are_expanded_wherever_text_stands() -> None:
    document = parse_yaml("a: ['${X}/y', '${Z:-none}', '$X', '${E:-}']", "file", {"X": "/data"})
    assert document.data == {"a": ["/data/y", "none", "$X", ""]}
    assert document.variables[("a", 0)] == ("X",)


def test_an_empty_variable_takes_its_default() -> None:
    assert parse_yaml("a: ${X:-d}", "file", {"X": ""}).data == {"a": "d"}


def test_places_point_at_lines() -> None:
    document = parse_yaml("a:\n  b:\n  - c: 1\n", "file")
    assert document.where(("a", "b", 0, "c")) == "file:3"
    assert document.where(("a", "b", 0, "unknown")) == "file:3"
    assert document.where(("nowhere",)) == "file"


def test_a_file_with_comments_alone_is_an_empty_mapping(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert read_yaml(path).data == {}


def test_no_code_is_run_by_a_tag() -> None:
    with pytest.raises(UserError, match="not YAML"):
        parse_yaml("a: !!python/object/apply:os.getcwd []", "file")


def test_an_alias_is_refused_before_it_can_grow() -> None:
    with pytest.raises(UserError, match="alias"):
        parse_yaml("a: &a [1]\nb: [*a, *a]\n", "file")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9" * 6000, "a number of 6000 digits"),
        ("0x" + "f" * 6000, "a number of 6002 digits"),
        ("!!timestamp 2026-13-45", "month must be in 1..12"),
        ("!!binary é", "cannot be encoded|failed to"),
    ],
    ids=["decimal", "hexadecimal", "timestamp", "binary"],
)
def test_what_cannot_be_a_value_is_named_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=f"f.yaml:2: not YAML .*({problem})"):
        parse_yaml(f"a: 1\nb: {text}\n", "f.yaml")
    with pytest.raises(UserError, match="not a YAML value"):
        parse_value(text)
    with pytest.raises(yaml.YAMLError):
        load_plain(f"b: {text}")
