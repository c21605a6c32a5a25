"""Coherence figures of stored sessions as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.coherence import CoherenceSummary, summarize
from sage.app.store.opening import open_to_read
from sage.app.terminal import figures
from sage.app.terminal.errors import UserError

Summaries = tuple[CoherenceSummary, ...]


def load_summaries(state_dir: Path, sessions: Sequence[str]) -> dict[str, Summaries]:
    """By session id, in the order given; the latest session for none. Raises UserError for a session that is
    not stored or measured no windows.
    """
    found = {}
    with open_to_read(state_dir / STORE_NAME) as store:
        names: Sequence[str | None] = sessions or (None,)
        for name in names:
            session = store.session(name).id
            found[session] = summarize(store.coherence(session))
            if not found[session]:
                raise UserError(
                    f"session {session} has no coherence figures: run it with"
                    " --set coherence.window_ticks=256, or `sage run coherence`"
                )
    return found


def render(found: Mapping[str, Summaries]) -> None:
    """One session with all columns, or the mean and z of each session beside each other."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("figure")
    if len(found) == 1:
        (summaries,) = found.values()
        for heading in ("windows", "mean", "last", "by chance", "z", "beyond 2"):
            table.add_column(heading, justify="right")
        for summary in summaries:
            table.add_row(_name(summary), *_values(summary))
    else:
        for session in found:
            table.add_column(session, justify="right")
            table.add_column("z", justify="right")
        for key in sorted({(each.metric, each.modules) for rows in found.values() for each in rows}):
            cells = [cell for rows in found.values() for cell in _cells(key, rows)]
            table.add_row(f"{key[0]} ({key[1]})", *cells)
    Console().print(table)


def _name(summary: CoherenceSummary) -> str:
    return f"{summary.metric} ({summary.modules})"


def _values(summary: CoherenceSummary) -> tuple[str, ...]:
    return (
        figures.count(summary.num_windows),
        figures.number(summary.mean),
        figures.number(summary.last),
        figures.number(summary.null_mean),
        figures.number(summary.mean_z),
        figures.percent(summary.share_beyond_2),
    )


def _cells(key: tuple[str, str], rows: Summaries) -> tuple[str, str]:
    for summary in rows:
        if (summary.metric, summary.modules) == key:
            return figures.number(summary.mean), figures.number(summary.mean_z)
    return figures.DASH, figures.DASH
