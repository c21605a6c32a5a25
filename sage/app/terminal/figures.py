"""Formatting of figures: few digits, aligned units, a dash for a missing figure.

Invariant: NaN and None are always the dash, never 0 and never "nan".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

DASH = "–"  # noqa: RUF001  an en dash, as tables are set
_SPARKS = "▁▂▃▄▅▆▇█"


def number(value: float | None, digits: int = 2) -> str:
    """`0.42`; no minus sign where the rounded value is 0."""
    if value is None or not math.isfinite(value):
        return DASH if value is None or math.isnan(value) else ("∞" if value > 0 else "-∞")
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float | None, digits: int = 2) -> str:
    """`+0.42`: with the sign of positive values too."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and float(text) > 0 else text


def percent(value: float | None, digits: int = 0) -> str:
    return DASH if value is None or math.isnan(value) else f"{number(100 * value, digits)}%"


def signed_percent(value: float | None, digits: int = 1) -> str:
    return DASH if value is None or math.isnan(value) else f"{signed(100 * value, digits)}%"


def count(value: int) -> str:
    """`12,345`."""
    return f"{value:,}"


def short_count(value: float) -> str:
    """`940`, `12.3k`, `4.1M`: at most five characters."""
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (math.inf, 1e9, "G")):
        if abs(value) < limit:
            scaled = value / divisor
            return f"{scaled:.0f}{unit}" if not unit or scaled >= 100 else f"{scaled:.1f}{unit}"
    return DASH


def millis(value_ns: float | None, digits: int = 1) -> str:
    """Nanoseconds as `6.3 ms`."""
    return DASH if value_ns is None or math.isnan(value_ns) else f"{number(value_ns / 1e6, digits)} ms"


def age(value_ns: int) -> str:
    """An age in one unit: `12 ms`, `3.4 s`, `5 min`; a dash below 0."""
    if value_ns < 0:
        return DASH
    if value_ns < 1_000_000_000:
        return f"{value_ns // 1_000_000} ms"
    secs = value_ns / 1e9
    return (
        f"{secs:.1f} s" if secs < 100 else f"{secs / 60:.0f} min" if secs < 6000 else f"{secs / 3600:.0f} h"
    )


def duration(secs: float) -> str:
    """`42.0 s`, `3 min 05 s`, `2 h 03 min`, `6 d 04 h`."""
    if not math.isfinite(secs):
        return DASH
    if secs < 60:
        return f"{secs:.1f} s"
    whole = round(secs)
    for large, unit, small, small_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= large:
            return f"{whole // large} {unit} {whole % large // small:02d} {small_unit}"
    return DASH


def num_bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def bar(value: float, width: int) -> str:
    """A share 0..1 as `━━━━╌╌╌╌`, blank where undefined."""
    if math.isnan(value):
        return " " * width
    filled = round(min(1.0, max(0.0, value)) * width)
    return "━" * filled + "╌" * (width - filled)


def sparkline(values: list[float], width: int, low: float | None = None, high: float | None = None) -> str:
    """The last `width` values as blocks between `low` and `high` (their own range by default), a space for
    NaN.
    """
    shown = values[-width:]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * width
    bottom = min(finite) if low is None else low
    span = (max(finite) if high is None else high) - bottom

    def spark(value: float) -> str:
        if not math.isfinite(value):
            return " "
        share = (value - bottom) / span if span > 0 else 0.5
        return _SPARKS[min(7, max(0, int(share * 8)))]

    return "".join(spark(value) for value in shown).rjust(width)


def finite_mean(values: Iterable[float]) -> float:
    """Of the finite ones; NaN without one."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
