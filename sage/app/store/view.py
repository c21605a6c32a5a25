"""Opening the store of past sessions for reading, and the list of its sessions as text.

Invariant: reading creates nothing; a state directory without a store raises UserError.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sage.app.config.state_dir import STORE_NAME, default_state_dir
from sage.app.store.opening import open_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sage.app.store.metrics_store import MetricsStore, SessionRecord, StoreInspection


def open_store(state_dir: Path | None) -> MetricsStore:
    """The store in a state directory (the default one when None). Raises UserError when there is none."""
    return open_to_read((state_dir or default_state_dir()) / STORE_NAME)


def render_sessions(sessions: Sequence[SessionRecord], inspection: StoreInspection) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("session", "started (UTC)", "seconds", "ticks", "lost", "sources"):
        table.add_column(heading, no_wrap=True)
    for session in sessions:
        started = datetime.fromtimestamp(session.started_ns / 1e9, tz=timezone.utc).strftime("%Y-%m-%d %H:%M")
        seconds = f"{session.span_ns / 1e9:.1f}" + ("" if session.ended_ns else " (open)")
        counts = (str(session.num_ticks), str(session.num_dropped))
        table.add_row(session.id, started, seconds, *counts, str(len(session.sources)))
    console = Console()
    console.print(table)
    ticks = f"{inspection.num_ticks} ticks in {inspection.num_rows} rows"
    rest = f"{inspection.num_sleeps} sleeps, {inspection.num_events} events"
    console.print(
        f"{inspection.path}: {inspection.num_bytes / (1 << 20):.1f} MiB, {ticks}, {rest}", soft_wrap=True
    )
