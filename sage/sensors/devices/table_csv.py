"""Tables written as text: cells with or without quotes, a delimiter that the header shows, one name a column.

One grammar, that of the standard module csv. Invariant: a cell is read as the number it is, or is no number
(NaN), or the file is refused: a cell never belongs to another column or has another value.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sage.sensors.contract import SensorUnavailable
from sage.sensors.devices.table_columns import Table, Wanted, parse_iso
from sage.user_file import read_user_text

DELIMITERS = (",", ";", "\t", "|")
_INTEGER = re.compile(r"[+-]?\d{1,18}|[+-]?[1-8]\d{18}")
_TRUTH = {"true": 1.0, "false": 0.0}
#: A number whose digits are in groups of three.
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?P<mark>[,.' ])\d{3})(?:(?P=mark)\d{3})*(?:[.,]\d*)?")
#: 1,234 reads as 1234 in one country and as 1.234 in another; 0,123 and 1,23 do not.
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


def read_csv(path: Path, wanted: Wanted, *, delimiter: str | None, decimal: str | None) -> Table:
    """delimiter: the one with which the header has the time's column when None.  decimal: "." or ","; a comma
    when None, the delimiter is not one, and numbers have commas and no points.

    Blank lines, and lines before the header that begin with #, are skipped.
    """
    lines = iter(io.StringIO(read_user_text(path), newline=None))
    header_line = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    try:
        delimiter = delimiter or _delimiter_of(header_line, wanted.time)
        rows = _rows(itertools.chain([header_line], lines), delimiter)
    except csv.Error as error:
        raise SensorUnavailable(f"{path}: not a CSV: {error}: correct the quotes") from None
    header = [name.strip() for name in rows[0]] if rows else []
    places = wanted.among(header)
    body = rows[1:]
    _check_widths(body, len(header), path)
    cells = [[row[place].strip() for row in body] for place in places]
    names = [header[place] for place in places]
    return _table(cells, names, path, delimiter=delimiter, decimal=decimal)


def _delimiter_of(header_line: str, time: str) -> str:
    for delimiter in DELIMITERS:
        cells: list[str] = next(_reader([header_line], delimiter), [])
        if time in (cell.strip() for cell in cells):
            return delimiter
    return max(DELIMITERS, key=header_line.count)


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _rows(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    """All rows but those without a cell that is filled."""
    return [row for row in _reader(lines, delimiter) if any(cell and not cell.isspace() for cell in row)]


def _check_widths(body: Sequence[Sequence[str]], width: int, path: Path) -> None:
    """Cells beyond the header's are allowed where they are empty: a delimiter at the line's end."""
    for number, row in enumerate(body, start=1):
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            raise SensorUnavailable(
                f"{path}: row {number} has {len(row)} cells, the header {width}: write as many, in quotes"
                " where a text has the delimiter in it"
            )


def _table(
    cells: list[list[str]], names: list[str], path: Path, *, delimiter: str, decimal: str | None
) -> Table:
    """cells: of each column, the time's first."""
    if _is_decimal_comma(cells, path, delimiter=delimiter, decimal=decimal):
        cells = [[_with_point(cell) for cell in column] for column in cells]
    texts: dict[tuple[int, int], str] = {}
    iso = parse_iso(cells[0], path)
    if iso is None:
        time = _exact(cells[0])
        if time is None:
            time = _numbers(cells[0], -1, texts, names[0], path)
    else:
        time = iso
        texts.update(
            {(int(row), -1): cells[0][row] for row in np.flatnonzero(np.isnat(iso)) if cells[0][row]}
        )
    columns = [
        _numbers(column, place, texts, names[place + 1], path) for place, column in enumerate(cells[1:])
    ]
    return Table(time=time, columns=tuple(names[1:]), values=np.stack(columns, axis=1), texts=texts)


def _exact(cells: Sequence[str]) -> np.ndarray | None:
    """(N,) int64 when every cell is an integer: nanoseconds since 1970 do not fit a float."""
    if not all(_INTEGER.fullmatch(cell) for cell in cells):
        return None
    return np.array([int(cell) for cell in cells], dtype=np.int64)


def _is_decimal_comma(cells: list[list[str]], path: Path, *, delimiter: str, decimal: str | None) -> bool:
    if decimal is not None or delimiter == ",":
        return decimal == ","
    numbers = [cell for column in cells for cell in column if _is_number(cell.replace(",", "."))]
    with_comma = [cell for cell in numbers if "," in cell]
    if not with_comma:
        return False
    if any("." in cell for cell in numbers):
        raise SensorUnavailable(
            f"{path}: some numbers have a comma ({with_comma[0]}) and some a point: set `decimal` to ','"
            " or '.'"
        )
    if all(_AMBIGUOUS.fullmatch(cell) for cell in with_comma):
        raise SensorUnavailable(
            f"{path}: {with_comma[0]} can be {with_comma[0].replace(',', '.')} or"
            f" {with_comma[0].replace(',', '')}: set `decimal: ','`, or write it without the comma"
        )
    return True


def _with_point(cell: str) -> str:
    """1,5 as 1.5; a cell with a point stays no number: in it the point groups digits."""
    return cell if "." in cell else cell.replace(",", ".")


def _numbers(
    cells: Sequence[str], place: int, texts: dict[tuple[int, int], str], name: str, path: Path
) -> np.ndarray:
    """(N,) float64; NaN, and an entry in `texts`, for a cell that is no number."""
    try:
        if not any("_" in cell for cell in cells):
            return np.array([float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        pass  # cell by cell then, which is slower
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if _is_number(cell):
            values[row] = float(cell)
        elif cell.lower() in _TRUTH:
            values[row] = _TRUTH[cell.lower()]
        elif _GROUPED.fullmatch(cell):
            raise SensorUnavailable(
                f"{path}: row {row + 1}, column {name!r}: the digits of {cell} are in groups: write them"
                " without separators"
            )
        elif cell:
            texts[row, place] = cell
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
