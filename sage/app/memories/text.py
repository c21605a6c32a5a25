"""Rows of text in aligned columns, at their full width in a terminal and in a pipe; times in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sage.runtime.snapshot import utc_text


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """One line a row; columns are as wide as their longest cell, two spaces apart."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table
    )


def time_text(time_ns: int | None) -> str:
    """Unix ns as 2026-01-31 12:00:00; - for None."""
    return "-" if time_ns is None else utc_text(time_ns).removesuffix(" UTC")
