"""HTML of values and tables. Invariant: every value passes through `text` before it is part of a page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """Any value as HTML text, quotes included."""
    return html.escape(str(value), quote=True)


def table(headings: Sequence[tuple[str, str]], rows: Iterable[str], kind: str = "") -> str:
    """headings: (heading, class of its column).  rows: HTML of each `tr`.  kind: class of the table."""
    head = "".join(f'<th scope="col" class="{align}">{text(heading)}</th>' for heading, align in headings)
    return (
        '<div class="scroll" tabindex="0">'
        f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def cells(values: Sequence[str], headings: Sequence[str]) -> str:
    """Numbers of one row. Each cell names its column, for narrow screens, where there is no heading row."""
    return "".join(
        f'<td class="n" data-label="{text(heading)}">{text(value)}</td>'
        for heading, value in zip(headings, values)
    )


def legend(entries: Iterable[tuple[str, int]]) -> str:
    """Names with the tone that each is drawn in."""
    items = "".join(
        f'<span><i class="block" style="background:var(--tone-{tone})"></i>{text(name)}</span>'
        for name, tone in entries
    )
    return f'<div class="legend fixed">{items}</div>'
