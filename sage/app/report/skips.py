"""The table of the report that has the reasons of skipped sources and streams."""

from __future__ import annotations

from collections.abc import Sequence

from sage.app.report.markup import cells, table, text
from sage.app.terminal import figures
from sage.app.terminal.skips import SkipFigures

_HEADINGS = ("ticks", "most of all")
_NOTE = (
    "Ticks in which a source got no full attention, or a puzzle stream no segment, by reason:"
    " docs/attention.md explains each."
)
_MAX_NAMES = 4


def skips_table(skips: Sequence[SkipFigures]) -> str:
    """One row for each reason, the most frequent first; empty without a skip."""
    if not skips:
        return ""
    found = table(
        [("skipped because", ""), *((heading, "n") for heading in _HEADINGS)], _rows(skips), "stack"
    )
    return f'{found}<p class="note below">{_NOTE}</p>'


def _rows(skips: Sequence[SkipFigures]) -> list[str]:
    rows = []
    for each in skips:
        names = ", ".join(f"{name} {figures.count(num)}" for name, num in each.by_name[:_MAX_NAMES])
        values = cells((figures.count(each.num), names), _HEADINGS)
        rows.append(f'<tr><th scope="row">{text(each.reason)}</th>{values}</tr>')
    return rows
