"""The summary of a session, set for a terminal. Invariant: readable at 80 columns, and in a log file without
colour.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sage.app.session.figures import NIGHTS, SessionFigures, SkillFigures, SourceFigures
from sage.app.terminal.figures import DASH, count, duration, millis, number, percent, signed, signed_percent
from sage.runtime.report import SleepOutcome, SleepReport

_MAX_SLEEPS_SHOWN = 8
_SKILL_NOTE = (
    "skill: 1 - error / error of “nothing changes”: 0 is no better than that, 1 perfect."
    " HRM: the share of error it takes off its own linear skip."
)
_OUTCOME_STYLES = {
    SleepOutcome.ACCEPTED: "green",
    SleepOutcome.ROLLED_BACK: "yellow",
    SleepOutcome.UNDECIDED: "yellow",
    SleepOutcome.FAILED: "red",
}


def print_summary(figures: SessionFigures, console: Console | None = None) -> None:
    console = console or Console()
    console.print()
    facts = Table.grid(padding=(0, 2, 0, 0))
    for label, text in _facts(figures):
        facts.add_row(Text(label, "bold"), Text(text))
    console.print(facts)
    if figures.sources:
        console.print()
        console.print(_skill_table(figures))
        console.print(Text(_SKILL_NOTE, "dim"))
        console.print()
        console.print(_source_table(figures.sources))
    nights = [report for report in figures.sleeps if report.outcome in NIGHTS]
    if nights:
        console.print()
        console.print(_sleep_table(nights[-_MAX_SLEEPS_SHOWN:]))
        if len(nights) > _MAX_SLEEPS_SHOWN:
            console.print(Text(f"the last {_MAX_SLEEPS_SHOWN} of {len(nights)} nights", "dim"))


def _facts(figures: SessionFigures) -> list[tuple[str, str]]:
    coherence, memory, learning = figures.coherence, figures.memory, figures.learning
    states = ", ".join(f"{state} {percent(num / figures.num_ticks)}" for state, num in figures.ticks_in_state)
    events = ", ".join(f"{kind} {count(num)}" for kind, num in figures.num_events)
    ticks = f"{count(figures.num_ticks)} ticks at {number(figures.tick_hz)} Hz"
    overhead = f"p50 {millis(figures.overhead_p50_ns, 2)}, p99 {millis(figures.overhead_p99_ns, 2)}"
    return [
        (
            "session",
            f"{duration(figures.duration_secs)}, {ticks}; {states or DASH}",
        ),
        (
            "tick",
            (
                f"p50 {millis(figures.tick_p50_ns)}, p99 {millis(figures.tick_p99_ns)}; without the model"
                f" {overhead}; {count(figures.num_overruns)} overruns"
            ),
        ),
        (
            "coherence",
            (
                f"{number(coherence.coherence)} now, {number(figures.mean_coherence.coherence)} on average:"
                f" agreement {number(coherence.agreement)} (chance {number(coherence.agreement_null)}),"
                f" correctness {number(coherence.correctness)}, xerr {number(coherence.xerr)}"
            ),
        ),
        (
            "memory",
            (
                f"{count(memory.num_kept)} of {count(memory.num_seen)} experiences kept, room for"
                f" {count(memory.capacity)}; {count(memory.num_transitions)} transitions"
            ),
        ),
        (
            "practice",
            (
                f"{count(learning.num_practice_steps)} steps, loss {number(learning.loss, 3)}, gate"
                f" {number(learning.gate)}, {count(learning.num_carry_resets)} carry resets"
            ),
        ),
        ("sleep", _sleep_fact(figures)),
        ("events", events or "none"),
    ]


def _sleep_fact(figures: SessionFigures) -> str:
    """How many of each outcome, the newest reason why one was no night, and whether one was cut short."""
    outcomes = Counter(report.outcome for report in figures.sleeps)
    reasons = {
        report.outcome: f" ({report.reason})"
        for report in figures.sleeps
        if report.outcome not in NIGHTS and report.reason
    }
    parts = [
        f"{num} {outcome.value.replace('_', ' ')}{reasons.get(outcome, '')}"
        for outcome, num in outcomes.items()
    ]
    if figures.is_asleep:
        parts.append("one under way when the session ended, its work dropped")
    told = ", ".join(parts) or "none"
    return f"{count(figures.num_sleeps)}: {told}" if figures.num_sleeps else told


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            heading, justify="left" if index == 0 else "right", no_wrap=index > 0, overflow="ellipsis"
        )
    return table


def _skill_table(figures: SessionFigures) -> Table:
    table = _table("skill", "scored", "overall", "first ⅓", "last ⅓", "pre-sleep", "post-sleep", "HRM")
    for name, skill in ((source.name, source.skill) for source in figures.sources):
        table.add_row(Text(name), *_skill_cells(skill))
    if len(figures.sources) > 1:
        table.add_row("all sources", *_skill_cells(figures.skill), style="bold")
    return table


def _skill_cells(skill: SkillFigures) -> tuple[str, ...]:
    stretches = (skill.overall, skill.first_third, skill.last_third, skill.before_sleep, skill.after_sleep)
    return (
        count(skill.num_scored),
        *(signed(value) for value in stretches),
        signed_percent(skill.gain_over_skip),
    )


def _source_table(sources: tuple[SourceFigures, ...]) -> Table:
    table = _table("source", "readings", "dropped", "late", "doubled", "faults", "trust")
    table.add_column("status", overflow="fold")
    for source in sources:
        counts = (
            source.num_readings,
            source.num_dropped,
            source.num_late,
            source.num_duplicate,
            source.num_faults,
        )
        style = "red" if source.status == "quarantined" else ""
        status = Text(source.status + (f": {source.reason}" if source.reason else ""), style)
        table.add_row(Text(source.name), *(count(value) for value in counts), number(source.trust), status)
    return table


def _sleep_table(sleeps: Sequence[SleepReport]) -> Table:
    table = _table("sleep", "replayed", "examined", "loss before", "after", "gain", "90% interval")
    for report in sleeps:
        has_interval = math.isfinite(report.gain_low)
        interval = (
            f"{signed_percent(report.gain_low)} to {signed_percent(report.gain_high)}"
            if has_interval
            else DASH
        )
        table.add_row(
            Text(report.outcome.value.replace("_", " "), _OUTCOME_STYLES.get(report.outcome, "")),
            count(report.num_replayed),
            count(report.num_examined),
            number(report.loss_before, 3),
            number(report.loss_after, 3),
            signed_percent(report.gain),
            interval,
        )
    return table
