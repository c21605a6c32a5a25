"""The report's text and tables. Invariant: every value from a session passes through `text` before it is part
of the page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from sage.app.report.boards import boards_html
from sage.app.report.budget import budget_table
from sage.app.report.data import ReportData
from sage.app.report.markup import cells, table, text
from sage.app.report.memories import memories_html
from sage.app.report.plots import Plot
from sage.app.report.puzzles import NUM_RECENT, SECTION, ForgettingTable, forgetting_tables, labels_of
from sage.app.report.skips import skips_table
from sage.app.report.tick_times import night_ticks_table
from sage.app.report.worlds import SECTION as WORLDS
from sage.app.report.worlds import world_table
from sage.app.terminal import figures
from sage.app.terminal.skill import ALL_PHYSICAL, SkillFigures, verdict
from sage.runtime.report import Event, SleepOutcome, SleepReport

_SKILL_NOTE = (
    "Skill is 1 - error / error of repeating the last reading: 1 is perfect, 0 equals repeating, below 0 is"
    f" worse. {ALL_PHYSICAL.capitalize()}: all but the clock and recall. Before sleep: up to the end of the"
    " first night; after sleep: since the end of the last. HRM adds: the share of the linear part's error"
    " that the recurrent model removes."
)
_OUTCOME_CLASSES = {SleepOutcome.ACCEPTED: "good", SleepOutcome.FAILED: "bad", SleepOutcome.SKIPPED: "quiet"}


def header_html(data: ReportData) -> str:
    session = data.session
    ended = "ended" if session.ended_ns is not None else "not ended: running or killed"
    lead = (
        f"Session of {_utc(session.started_ns)}, {ended}. {figures.duration(session.span_ns / 1e9)} on the"
        f" {session.clock} clock."
    )
    total = data.skills.get(ALL_PHYSICAL)
    ticks = f"{figures.count(session.num_ticks)} ticks, {figures.count(data.num_overruns)} overruns"
    tiles = [
        (figures.signed(total.overall) if total else figures.DASH, f"prediction skill, {ALL_PHYSICAL}"),
        (_from_to(total), "skill, first third to last third"),
        (figures.number(_last(data, "coherence")), "coherence at the end"),
        (f"{figures.number(data.tick_hz, 1)} Hz", ticks),
        (str(len(data.sleeps)), _outcomes(data)),
    ]
    solved = _solved_tiles(data)
    if solved:  # what was not measured has no tile beside what was
        tiles = [*solved, *((value, label) for value, label in tiles if figures.DASH not in value.split())]
    items = "".join(f"<li><b>{text(value)}</b><span>{text(label)}</span></li>" for value, label in tiles)
    summary = text(verdict(total)) if total else ""
    return (
        f'<h1>{text(session.id)}</h1>\n<p class="lead">{text(lead)}</p>\n'
        f'<p class="verdict">{summary}</p>\n<ul class="tiles">{items}</ul>'
    )


def _solved_tiles(data: ReportData) -> list[tuple[str, str]]:
    """Of each level with answers: the share right of its first and of its last ones."""
    levels = [level for level in data.levels if len(level.ticks)]
    shares = [(level.first_share(NUM_RECENT), level.last_share(NUM_RECENT)) for level in levels]
    return [
        (
            f"{figures.percent(first)} → {figures.percent(last)}",
            f"{label}, right of the first and the last {NUM_RECENT} answers",
        )
        for label, (first, last) in zip(labels_of(levels), shares)
    ]


def main_html(data: ReportData) -> str:
    sections = [_section("Timeline", _timeline(data))]
    for name in dict.fromkeys(plot.section for plot in data.plots):
        plots = [plot for plot in data.plots if plot.section == name]
        if name == "Machine":
            sections.append(_section("Sleep", _sleeps(data)))
        after = boards_html(data.boards, data.levels) if name == SECTION else ""
        sections.append(
            _section(name, (_TABLES[name](data) if name in _TABLES else "") + _figures(plots) + after)
        )
    if data.memory is not None:
        sections.append(_section("Memory", memories_html(data.memory)))
    sections.append(_section("Events", _events(data.events)))
    sections.append(_section("Environment", _environment(data)))
    return "\n".join(sections)


def footer_html(data: ReportData) -> str:
    is_averaged = data.session.num_ticks > len(data.times_secs)
    point = (
        f"Each point is a mean over {figures.duration(data.point_secs)}."
        if is_averaged
        else "Each point is one tick."
    )
    keys = (
        "Drag across a plot to zoom in, double-click to zoom out. Keys on a focused plot: <kbd>←</kbd>"
        " <kbd>→</kbd> move the cursor, <kbd>+</kbd> <kbd>-</kbd> zoom, <kbd>0</kbd> shows the whole session."
    )
    return (
        f"<p>{text(point)} Dotted lines mark the end of a night, shading marks the states rest and dream.</p>"
        f"<p>{keys}</p>"
    )


def _section(title: str, body: str) -> str:
    return f'<section aria-label="{text(title)}"><h2>{text(title)}</h2>{body}</section>'


def _timeline(data: ReportData) -> str:
    label = f"States of the loop and of {len(data.session.sources)} sources over time"
    return f'<figure class="wide" data-plot="timeline">{_plot_area(label)}</figure>'


def _figures(plots: Sequence[Plot]) -> str:
    """Two side by side; with an odd number the first is wide."""
    is_odd = len(plots) % 2 == 1
    return f'<div class="pair">{"".join(_figure(plot, is_odd and plot is plots[0]) for plot in plots)}</div>'


def _figure(plot: Plot, is_wide: bool) -> str:
    unit = f' <span class="quiet">{text(plot.unit)}</span>' if plot.unit else ""
    caption = (
        f'<figcaption><h3>{text(plot.title)}{unit}</h3><p class="note">{text(plot.note)}</p></figcaption>'
    )
    wide = ' class="wide"' if is_wide else ""
    return (
        f'<figure{wide} data-plot="{text(plot.id)}">{caption}{_plot_area(f"{plot.title} over time")}</figure>'
    )


def _plot_area(label: str) -> str:
    return (
        f'<div class="plot" tabindex="0" role="img" aria-label="{text(label)}"></div><div'
        ' class="legend"></div>'
    )


def _skill_table(data: ReportData) -> str:
    if not data.skills:
        return '<p class="empty">No reading was scored.</p>'
    headings = ("scored", "overall", "first third", "last third", "before sleep", "after sleep", "HRM adds")
    is_single = len(data.session.sources) == 1
    rows = [_skill_row(name, skill, headings) for name, skill in data.skills.items()][
        : 1 if is_single else None
    ]
    found = table([("prediction skill", ""), *((heading, "n") for heading in headings)], rows, "stack")
    return f'{found}<p class="note below">{_SKILL_NOTE}</p>'


def _skill_row(name: str, skill: SkillFigures, headings: Sequence[str]) -> str:
    stretches = (skill.overall, skill.first_third, skill.last_third, skill.before_sleep, skill.after_sleep)
    values = (
        figures.count(skill.num_scored),
        *(figures.signed(value) for value in stretches),
        figures.signed_percent(skill.gain_over_skip),
    )
    total = ' class="total"' if name == ALL_PHYSICAL else ""
    return f'<tr{total}><th scope="row">{text(name)}</th>{cells(values, headings)}</tr>'


def _world_table(data: ReportData) -> str:
    return world_table(data.worlds)


def _coherence_table(data: ReportData) -> str:
    """One row for each figure; empty for a session that measured no windows."""
    if not data.coherence:
        return ""
    headings = ("windows", "mean", "last", "by chance", "z", "beyond 2")
    rows = []
    for summary in data.coherence:
        values = (
            figures.count(summary.num_windows),
            figures.number(summary.mean),
            figures.number(summary.last),
            figures.number(summary.null_mean),
            figures.number(summary.mean_z),
            figures.percent(summary.share_beyond_2),
        )
        name = f"{summary.metric} ({summary.modules})"
        rows.append(f'<tr><th scope="row">{text(name)}</th>{cells(values, headings)}</tr>')
    return table([("figure", ""), *((heading, "n") for heading in headings)], rows, "stack")


def _puzzle_tables(data: ReportData) -> str:
    """Each level at the session's start and end, and the held-out puzzles after each night."""
    headings = ("answers", f"first {NUM_RECENT}", f"last {NUM_RECENT}", "abstained", "confidence")
    levels = [level for level in data.levels if len(level.ticks)]
    rows = []
    for label, level in zip(labels_of(levels), levels):
        num = int(level.num_answers.sum())
        values = (
            figures.count(num),
            figures.percent(level.first_share(NUM_RECENT)),
            figures.percent(level.last_share(NUM_RECENT)),
            figures.count(int(level.num_abstained.sum())),
            figures.number(float(level.confidence.sum()) / num),
        )
        rows.append(f'<tr><th scope="row">{text(label)}</th>{cells(values, headings)}</tr>')
    found = table([("right answers", ""), *((heading, "n") for heading in headings)], rows, "stack")
    return found + '<p class="note below"></p>' + "".join(map(_forgetting, forgetting_tables(data.sleeps)))


def _forgetting(shares_of: ForgettingTable) -> str:
    """Darker is more. The last row is what later learning took from each level."""

    def cell(share: float) -> str:
        if not math.isfinite(share):
            return f'<td class="n">{figures.DASH}</td>'
        shade = f"color-mix(in srgb, var(--accent) {round(60 * share)}%, transparent)"
        return f'<td class="n" style="background:{shade}">{text(figures.percent(share, 1))}</td>'

    rows = [
        f'<tr><th scope="row">{text(label)}</th>{"".join(map(cell, shares))}</tr>'
        for label, shares in zip(shares_of.rows, shares_of.shares)
    ]
    lost = "".join(
        f'<td class="n">{text(figures.DASH if math.isnan(each) else f"{100 * each:.1f} points")}</td>'
        for each in shares_of.forgotten
    )
    rows.append(f'<tr class="total"><th scope="row">forgotten since the best</th>{lost}</tr>')
    heading = f"{shares_of.stream}: held-out puzzles solved"
    return table([(heading, ""), *((name, "n") for name in shares_of.levels)], rows)


def _sleeps(data: ReportData) -> str:
    cut = (
        '<p class="note">The session ended during a night; the new weights were discarded.</p>'
        if data.is_asleep
        else ""
    )
    if not data.sleeps:
        return cut or '<p class="empty">There was no sleep in this session.</p>'
    reach = max(
        (
            abs(value)
            for report in data.sleeps
            for value in (report.gain_low, report.gain_high)
            if math.isfinite(value)
        ),
        default=0.0,
    )
    cards = (_card(report, secs, reach) for report, secs in zip(data.sleeps[-60:], data.sleep_secs[-60:]))
    note = f'<p class="note">The last 60 of {len(data.sleeps)}.</p>' if len(data.sleeps) > 60 else ""
    return f'<div class="cards">{"".join(cards)}</div>{note}{cut}'


def _card(report: SleepReport, secs: float, reach: float) -> str:
    kind = _OUTCOME_CLASSES.get(report.outcome, "warn")
    errors = _levels_examined(report)
    if not report.stream:
        errors = _errors_examined(report) + errors
    unit = "puzzles" if report.stream else "readings"
    counts = (
        f"Trained on {figures.count(report.num_replayed)} replayed experiences"
        f" ({figures.count(report.num_steps)} steps), examined on {figures.count(report.num_examined)}"
        f" {unit}, in {figures.duration(report.wall_secs)}."
    )
    return (
        '<article class="card"><header><h3'
        f' class="{kind}">{text(report.outcome.value.replace("_", " "))}</h3>'
        f'<span class="quiet">{text(report.stream or "senses")}, {text(figures.duration(secs))}, tick'
        f" {figures.count(report.tick)}</span></header>"
        f"{f'<dl>{errors}</dl>' if errors else ''}{_interval(report, reach)}"
        f"{f'<p>{text(counts)}</p>' if report.num_steps else ''}<p>{text(report.reason)}</p></article>"
    )


def _errors_examined(report: SleepReport) -> str:
    rows = [
        ("error on new held-out experience", report.loss_before, report.loss_after),
        ("error on older held-out experience", report.loss_old_before, report.loss_old_after),
    ]
    return "".join(
        f"<dt>{label}</dt><dd>{text(figures.signed_percent(after / before - 1))}</dd>"
        for label, before, after in rows
        if math.isfinite(before) and before > 0
    )


def _levels_examined(report: SleepReport) -> str:
    """Held-out puzzles solved, or episodes that reached their goal, before and after the night."""
    unit = "puzzles" if report.stream else "in all"
    return "".join(
        f"<dt>{text(level.level)}, {level.num} {unit}</dt>"
        f"<dd>{text(figures.percent(level.before, 1))} → {text(figures.percent(level.after, 1))}</dd>"
        for level in report.levels
    )


def _interval(report: SleepReport, reach: float) -> str:
    """The gain with its interval on an axis that all cards of the session share, 0 in the middle."""
    values = (report.gain, report.gain_low, report.gain_high)
    if not all(math.isfinite(value) for value in values) or reach <= 0:
        return ""
    gain, low, high = (50 + 46 * max(-1.0, min(1.0, value / reach)) for value in values)
    interval = f"{figures.signed_percent(report.gain_low)} to {figures.signed_percent(report.gain_high)}"
    what = "puzzles solved" if report.stream else "error reduction"
    label = text(f"{what} {figures.signed_percent(report.gain)}, 90% interval {interval}")
    return (
        f'<svg role="img" aria-label="{label}"><line x1="4%" x2="96%" y1="14" y2="14" stroke="var(--line)"/>'
        '<line x1="50%" x2="50%" y1="4" y2="24" stroke="var(--soft)"/>'
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="14" y2="14" stroke="var(--accent)" stroke-width="3"/>'
        f'<circle cx="{gain:.2f}%" cy="14" r="5" fill="var(--accent)"/>'
        f'<text x="50%" y="40" text-anchor="middle">{label}</text></svg>'
    )


def _events(events: Sequence[Event]) -> str:
    if not events:
        return '<p class="empty">No events.</p>'

    def row(event: Event) -> str:
        data = ", ".join(f"{name} {value}" for name, value in event.data)
        message = event.message + (f" ({data})" if data else "")
        names = f"<td>{text(event.kind)}</td><td>{text(event.source)}</td>"
        tick = f'<td class="n">{figures.count(event.tick)}</td>'
        return f'<tr>{tick}{names}<td class="message">{text(message)}</td></tr>'

    return table([("tick", "n"), ("event", ""), ("source", ""), ("message", "")], map(row, reversed(events)))


def _environment(data: ReportData) -> str:
    session = data.session
    facts = [
        ("configuration hash", session.config_hash or figures.DASH),
        ("seed", session.seed),
        ("clock", session.clock),
        ("reports not stored", figures.count(session.num_dropped)),
        *((f"{name} version", value) for name, value in session.versions.items()),
        *session.hardware.items(),
    ]
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts)
    config = (
        f"<details><summary>Configuration (YAML)</summary><pre>{text(session.config)}</pre></details>"
        if session.config
        else ""
    )
    return f'<dl class="facts">{items}</dl>{config}'


def _utc(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _from_to(skill: SkillFigures | None) -> str:
    return (
        figures.DASH
        if skill is None
        else f"{figures.signed(skill.first_third)} → {figures.signed(skill.last_third)}"
    )


def _last(data: ReportData, plot_id: str) -> float:
    """The newest finite value of a plot's first line."""
    values = next(plot.lines[0].values for plot in data.plots if plot.id == plot_id)
    finite = values[[math.isfinite(value) for value in values]]
    return float(finite[-1]) if len(finite) else math.nan


def _outcomes(data: ReportData) -> str:
    outcomes = Counter(report.outcome.value.replace("_", " ") for report in data.sleeps)
    counted = ", ".join(f"{num} {outcome}" for outcome, num in outcomes.items())
    return ("sleep" if len(data.sleeps) == 1 else "sleeps") + (f": {counted}" if counted else "")


#: Above the plots of a section.
_TABLES: dict[str, Callable[[ReportData], str]] = {
    "Prediction": _skill_table,
    SECTION: _puzzle_tables,
    WORLDS: _world_table,
    "Coherence": _coherence_table,
    "Attention": lambda data: budget_table(data.budget) + skips_table(data.skips),
    "Machine": lambda data: night_ticks_table(data.night_ticks),
}
