"""Times as texts: every form of ISO 8601 that is taken, to the nanosecond; others are refused."""

from __future__ import annotations

import pytest

from sage.errors import InputError
from sage.related_work.totality.wall_time import from_text, seconds_text, to_text

MIDNIGHT_NS = 1_700_006_400 * 10**9  # 2023-11-15, 00:00 UTC
HOUR_NS = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "after_ns"),
    [
        ("2023-11-15T00:00:00Z", 0),
        ("2023-11-15t00:00:00z", 0),
        ("2023-11-15 00:00:00Z", 0),
        ("2023-11-15 00:00:00", 0),
        ("2023-11-15 00:00", 0),
        ("2023-11-15T00", 0),
        ("2023-11-15", 0),
        ("2023-11-14T24:00:00Z", 0),
        ("2023-11-15T00:00:00+00:00", 0),
        ("2023-11-15T00:00:00 00:00", 0),  # a plus sign in a query is a space
        ("2023-11-15 00:00:00 00:00", 0),
        ("2023-11-15 00:00 05:30", -5 * HOUR_NS - HOUR_NS // 2),
        ("2023-11-15T00:00:00 05:30", -5 * HOUR_NS - HOUR_NS // 2),
        ("2023-11-15 00:00:00 02:00", -2 * HOUR_NS),
        ("2023-11-15 02:00:00+02:00", 0),
        ("2023-11-15 02:00", 2 * HOUR_NS),
        ("2023-11-14T19:00:00-05:00", 0),
        ("2023-11-14T19:00:00-0500", 0),
        ("2023-11-14T19:00:00-05", 0),
        ("2023-11-15 00:00:01.5", 1_500_000_000),
        ("2023-11-15T00:00:01,25Z", 1_250_000_000),
        ("2023-11-15T00:00:00.123456789Z", 123_456_789),
        ("2023-11-14T23:59:59.999999999", -1),
        ("20231115T000001Z", 10**9),
        ("20231115 0100 0100", 0),
        ("1700006400", 0),
        ("1700006400.000000001", 1),
        ("1700006399.999999999", -1),
        ("1.7000064e9", 0),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, after_ns: int) -> None:
    assert from_text(text) - MIDNIGHT_NS == after_ns


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "inf", "nan", "-1", "1_000", "9" * 30, "1e99", "8589934592",
        "2023-11-15T", "2023-11-15T24:00:01", "2023-11-15T25:00", "2023-02-30", "2023-11-15T00:60",
        "2023-11-15T00:00:60", "2023-11-15T00:00:00+24:00", "2023-11-15T00:00:00+05:99",
        "2023-11-15T00:00Z00", "2023-11-15x00:00", "2023-11-15T00:00:00  00:00", "2023-1115", "2023-W46-3",
        "2023-11-15Z", "9999-12-31T24:00:00", "9999-12-31", "٢٠٢٣-11-15", "2023-11-15T00:00:00.Z",
        "2023-11-15T00:00\n",
    ],
)  # fmt: skip
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="since is "):
        from_text(text)


@pytest.mark.parametrize("unix_ns", [0, 1, MIDNIGHT_NS - 1, MIDNIGHT_NS, 1_700_000_000_123_456_789])
def test_a_time_as_text_is_read_back(unix_ns: int) -> None:
    assert from_text(seconds_text(unix_ns)) == unix_ns
    assert from_text(to_text(unix_ns)) == unix_ns // 1000 * 1000


def test_a_time_before_1970_is_0() -> None:
    assert from_text("1969-12-31T23:59:59") == 0
    assert from_text("0001-01-01") == 0
    assert from_text("0001-01-01T00:00:00+10:00") == 0
