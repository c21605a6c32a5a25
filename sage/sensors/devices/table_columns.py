"""A recorded table in memory, and the columns of a file that it is made of.

Invariant: a Table has as many times as rows, and a name for each column; a cell without a number is NaN, a
row without a time NaN or NaT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sage.sensors.contract import SensorUnavailable

#: Times and durations are int64 nanoseconds: 292 years.
MAX_SECS = 9.2e9
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)\s?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A recording of N rows and C columns.

    time: (N,) numbers whose unit the file does not state, or datetime64 or timedelta64 of any unit.
    columns: C names.  values: (N, C) float64.  texts: what is written in cells that are neither empty nor a
    number, by (row, column); column -1 is the time.
    """

    time: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray
    texts: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which columns of which file to read. columns: all but the time and those without a name when None."""

    path: Path
    time: str
    columns: Sequence[str] | None

    def among(self, names: Sequence[str]) -> list[int]:
        """Places of the time's column and of the others in `names`, the file's own.

        Raises SensorUnavailable for a column that is missing, or whose name occurs twice.
        """
        if not any(names):
            raise SensorUnavailable(f"{self.path}: has no header: write the columns' names in its first line")
        others = [name for name in names if name and name != self.time]
        chosen = list(others if self.columns is None else self.columns)
        missing = [name for name in (self.time, *chosen) if name not in names]
        if missing:
            raise SensorUnavailable(f"{self.path}: no column {missing[0]!r}: it has {', '.join(names)}")
        if not chosen:
            raise SensorUnavailable(f"{self.path}: {self.time!r} is its only column: nothing to observe")
        counts = Counter(names)
        for name in (self.time, *chosen):
            if counts[name] > 1:
                raise SensorUnavailable(
                    f"{self.path}: {counts[name]} columns are named {name!r}: rename them, or choose others"
                    " in `columns`"
                )
        return [names.index(name) for name in (self.time, *chosen)]


def parse_iso(cells: Sequence[str], path: Path) -> np.ndarray | None:
    """(N,) datetime64[ns] of ISO 8601 texts, NaT where a cell is another text; None when none is ISO 8601.

    A time without an offset from UTC is taken as UTC; some with and some without one are refused.
    """
    found = [_ISO.fullmatch(cell) for cell in cells]
    matches = [match for match in found if match is not None]
    if not matches:
        return None
    if len({match["zone"] is None for match in matches}) == 2:
        raise SensorUnavailable(
            f"{path}: some times have an offset from UTC and some have none: write all alike"
        )
    times = [np.datetime64("NaT", "ns") if match is None else _moment(match, path) for match in found]
    return np.array(times, dtype="datetime64[ns]")


def _moment(match: re.Match[str], path: Path) -> np.datetime64:
    text = f"{match['date']}T{(match['time'] or '00:00').replace(',', '.')}"
    try:
        seconds = np.datetime64(text, "s")
        moment = np.datetime64(text, "ns")
    except ValueError:
        raise SensorUnavailable(f"{path}: {match[0]!r} is not a date and time: correct it") from None
    if abs(int(seconds.astype(np.int64))) > MAX_SECS:
        raise SensorUnavailable(f"{path}: {match[0]!r}: give a year from 1679 to 2261")
    zone = (match["zone"] or "Z").replace(":", "")
    if zone == "Z":
        return moment
    minutes = int(zone[1:3]) * 60 + int(zone[3:5])
    return moment - np.timedelta64(minutes if zone[0] == "+" else -minutes, "m")
