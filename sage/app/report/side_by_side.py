"""`sage report A B`: the main figures of several sessions, a column each, as a table and as an HTML page.

Invariant: a figure that a session does not have is a dash, in JSON null; its row is there if any session has
it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path

import numpy as np

from sage.app.config.state_dir import STORE_NAME
from sage.app.report.markup import cells, table, text
from sage.app.report.page_file import write_html
from sage.app.report.puzzles import NUM_RECENT
from sage.app.store.metrics_store import MetricsStore, SessionRecord
from sage.app.store.opening import open_to_read
from sage.app.terminal import figures
from sage.app.terminal.errors import UserError
from sage.app.terminal.skill import ALL_PHYSICAL, counted_sources

#: Ticks that quantiles are taken of, the last ones; points of a series.
MAX_ROWS, MAX_POINTS = 200_000, 1500
Shown = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """sessions: ids.  rows: by (section, label), the value of each session, NaN where it has none.
    shown: how a value of the row is written.
    """

    sessions: tuple[str, ...]
    about: tuple[str, ...]
    rows: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    shown: dict[tuple[str, str], Shown] = field(default_factory=dict)

    def add(self, index: int, section: str, label: str, value: float, shown: Shown) -> None:
        values = self.rows.setdefault((section, label), [math.nan] * len(self.sessions))
        values[index] = value
        self.shown[section, label] = shown

    def sections(self) -> dict[str, list[tuple[str, list[str]]]]:
        """(label, a text for each session), by section."""
        found: dict[str, list[tuple[str, list[str]]]] = {}
        for key, values in self.rows.items():
            if any(map(math.isfinite, values)):
                texts = [self.shown[key](value) if math.isfinite(value) else figures.DASH for value in values]
                found.setdefault(key[0], []).append((key[1], texts))
        return found


def load_columns(state_dir: Path, sessions: Sequence[str]) -> Columns:
    """In the order given. Raises UserError for a session that is not stored, or given twice."""
    with open_to_read(state_dir / STORE_NAME) as store:
        records = [store.session(name) for name in sessions]
        ids = tuple(record.id for record in records)
        if len(set(ids)) < len(ids):
            twice = next(name for name, num in Counter(ids).items() if num > 1)
            raise UserError(f"session {twice} is given twice: give sessions that differ")
        found = Columns(sessions=ids, about=tuple(map(_about, records)))
        for index, record in enumerate(records):
            _add_session(found, index, store, record)
        return found


def as_dict(columns: Columns) -> list[dict[str, object]]:
    """A JSON object for each session."""
    return [
        {
            "session": session,
            "figures": {
                f"{section}: {label}": values[index] if math.isfinite(values[index]) else None
                for (section, label), values in columns.rows.items()
            },
        }
        for index, session in enumerate(columns.sessions)
    ]


def render(columns: Columns) -> None:
    """The table in the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    shown.add_column("figure")
    for session in columns.sessions:
        shown.add_column(session, justify="right")
    for section, rows in columns.sections().items():
        shown.add_row(f"[dim]{section}[/dim]")
        for label, texts in rows:
            shown.add_row(f"  {label}".replace("[", r"\["), *texts)
    Console().print(shown)


def write_columns(columns: Columns, path: Path) -> Path:
    """One self-contained page without a script. Raises UserError where `path` cannot be written."""
    return write_html(_page(columns), path)


def _page(columns: Columns) -> str:
    css = resources.files("sage.app").joinpath("static", "report.css").read_text(encoding="utf-8")
    headings = [("figure", ""), *((session, "n") for session in columns.sessions)]
    body = "".join(
        f"<h2>{text(section)}</h2>{table(headings, _html_rows(columns.sessions, rows))}"
        for section, rows in columns.sections().items()
    )
    lead = "; ".join(f"{name}: {about}" for name, about in zip(columns.sessions, columns.about))
    title = f"{len(columns.sessions)} sessions side by side"
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)} · SAGE</title>\n<style>\n{css}\n</style>\n</head>\n<body>\n"
        f'<header><h1>{text(title)}</h1>\n<p class="lead">{text(lead)}</p></header>\n'
        f'<main id="main">{body}</main>\n</body>\n</html>\n'
    )


def _html_rows(sessions: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [
        f'<tr><th scope="row">{text(label)}</th>{cells(texts, list(sessions))}</tr>' for label, texts in rows
    ]


def _about(record: SessionRecord) -> str:
    started = datetime.fromtimestamp(record.started_ns / 1e9, tz=timezone.utc)
    ended = "ended" if record.ended_ns is not None else "not ended"
    return (
        f"{started:%Y-%m-%d %H:%M:%S} UTC, {record.clock} clock, {ended}, configuration {record.config_hash}"
    )


def _add_session(columns: Columns, index: int, store: MetricsStore, record: SessionRecord) -> None:
    def add(section: str, label: str, value: float, shown: Shown) -> None:
        columns.add(index, section, label, value, shown)

    _add_run(add, store, record)
    _add_skill(add, store, record)
    _add_puzzles(add, store, record)
    outcomes = Counter(report.outcome.value.replace("_", " ") for report in store.sleeps(record.id))
    for outcome, num in sorted(outcomes.items()):
        add("Nights", outcome, num, _whole)
    _add_sources(add, store, record)


Add = Callable[[str, str, float, Shown], None]


def _add_run(add: Add, store: MetricsStore, record: SessionRecord) -> None:
    series = store.series(record.id, ["total_ns", "num_overruns", "coherence"], MAX_POINTS)
    values, single_ns = series.values, np.array(store.tick_times(record.id, MAX_ROWS), float)
    span_secs = record.span_ns / 1e9
    add("Run", "ticks", record.num_ticks, _whole)
    add("Run", "duration", span_secs, figures.duration)
    rate_hz = (record.num_ticks - 1) / span_secs if span_secs > 0 else math.nan
    add("Run", "ticks per second", rate_hz, lambda value: f"{value:.1f}")
    for label, share in (("tick, median", 0.5), ("tick, p99", 0.99)):
        add("Run", label, _quantile(single_ns, share), figures.millis)
    add("Run", "tick, mean", _mean(values["total_ns"], series.num_ticks), figures.millis)
    add("Run", "overruns", float(np.nansum(values["num_overruns"])), _whole)
    add("Run", "reports not stored", record.num_dropped, _whole)
    add("Run", "coherence, mean", _mean(values["coherence"], series.num_ticks), figures.number)


def _add_skill(add: Add, store: MetricsStore, record: SessionRecord) -> None:
    if not record.sources:
        return
    skills = store.skill_table(record.id)
    found = skills.figures(counted_sources(record.sources, record.temporal))
    add("Prediction", f"skill, {ALL_PHYSICAL}", found.overall, figures.signed)
    add("Prediction", "skill, first third", found.first_third, figures.signed)
    add("Prediction", "skill, last third", found.last_third, figures.signed)
    add("Prediction", "HRM adds", found.gain_over_skip, figures.signed_percent)


def _add_puzzles(add: Add, store: MetricsStore, record: SessionRecord) -> None:
    for level in store.answers(record.id):
        name = f"{level.stream}: {level.name}"
        add("Puzzles", f"{name}, answers", float(level.num_answers.sum()), _whole)
        add("Puzzles", f"{name}, right of the first {NUM_RECENT}", level.first_share(NUM_RECENT), _percent)
        add("Puzzles", f"{name}, right of the last {NUM_RECENT}", level.last_share(NUM_RECENT), _percent)
    for world in store.episodes(record.id):
        add("Environments", f"{world.world}, episodes", len(world.returns), _whole)
        median = float(np.median(world.returns)) if len(world.returns) else math.nan
        add("Environments", f"{world.world}, median return", median, figures.number)


def _add_sources(add: Add, store: MetricsStore, record: SessionRecord) -> None:
    names = [f"{source}.{column}" for source in record.sources for column in ("trust", "num_faults")]
    values = store.series(record.id, names, MAX_POINTS).values if names else {}
    for source in record.sources:
        add("Trust at the end", source, _last(values[f"{source}.trust"]), figures.number)
        add("Faults", source, _last(values[f"{source}.num_faults"]), _whole)
    kinds = Counter(event.kind for event in store.events(record.id, limit=100_000))
    for kind, num in sorted(kinds.items()):
        add("Events", kind, num, _whole)


def _quantile(values: np.ndarray, share: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, share)) if len(finite) else math.nan


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Of the finite ones."""
    is_finite = np.isfinite(values)
    return float(np.average(values[is_finite], weights=weights[is_finite])) if is_finite.any() else math.nan


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def _whole(value: float) -> str:
    return figures.count(round(value))


def _percent(value: float) -> str:
    return figures.percent(value)
