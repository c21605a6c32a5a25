"""Figures as text: few digits, aligned units, a dash for NaN."""

from __future__ import annotations

import pytest

from sage.app.terminal import figures
from sage.runtime.report import NAN


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.number(NAN), figures.DASH),
        (figures.number(-0.001), "0.00"),
        (figures.signed(0.5), "+0.50"),
        (figures.signed(-0.5), "-0.50"),
        (figures.signed(0.001), "0.00"),
        (figures.percent(0.825), "82%"),
        (figures.age(-1), figures.DASH),
        (figures.age(12_000_000), "12 ms"),
        (figures.age(3_400_000_000), "3.4 s"),
        (figures.age(600_000_000_000), "10 min"),
        (figures.duration(42), "42.0 s"),
        (figures.duration(185), "3 min 05 s"),
        (figures.duration(7380), "2 h 03 min"),
        (figures.duration(6 * 86400 + 4 * 3600), "6 d 04 h"),
        (figures.short_count(9999), "9999"),
        (figures.short_count(12_345), "12.3k"),
        (figures.num_bytes(1536), "1.5 KiB"),
        (figures.bar(0.5, 4), "━━╌╌"),
        (figures.bar(NAN, 4), "    "),
        (figures.sparkline([0, 1, NAN, 2], 5), " ▁▅ █"),
        (figures.sparkline([], 3), "   "),
    ],
)
def test_figures_are_written_for_people(written, expected):
    assert written == expected
