"""The summary of a session as text. Invariant: readable at 80 columns, and in a log file without colour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sage.app.session.acting_figures import earned_lines
from sage.app.session.figures import SessionFigures, SidecarFigures, SourceFigures
from sage.app.session.solving_figures import learned_lines
from sage.app.terminal.budget import budget_line
from sage.app.terminal.figures import DASH, count, duration, millis, number, percent, signed, signed_percent
from sage.app.terminal.skill import ALL_PHYSICAL, NIGHTS, SkillFigures
from sage.app.terminal.skips import skips_line
from sage.app.terminal.tick_times import night_ticks_text
from sage.app.terminal.warming import warming_text
from sage.memory.salience import SCORES
from sage.runtime.report import SleepOutcome, SleepReport

_MAX_SLEEPS_SHOWN = 8
_SKILL_NOTE = (
    "skill: 1 - error / error of repeating the last reading. 1 is perfect, 0 equals repeating."
    " HRM adds: the share of the linear part's error that the recurrent model removes."
)
#: Kinds of events in words; other kinds are printed as they are.
_EVENTS = {
    "source": "source status changes",
    "state": "state changes",
    "sleep": "sleep starts and ends",
    "missing": "missing sensors",
    "budget": "changes of the budget by heat or power",
    "health": "changes of a sensor's health",
    "replaced": "begins and ends of readings that are replaced",
    "fault": "faults",
    "held": "times that answers were held",
    "level": "moves to another level",
    "weights": "offers of weights refused",
    "store": "store problems",
}
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
    for stream in figures.solving:
        counted = figures.totals.get(stream.stream, {})
        lines = [*_counted(counted), *learned_lines(stream, figures.sleeps)]
        for index, line in enumerate(lines):
            facts.add_row(Text(stream.stream if index == 0 else "", "bold"), Text(line))
    for world in figures.acting:
        for index, line in enumerate(earned_lines(world)):
            facts.add_row(Text(world.world if index == 0 else "", "bold"), Text(line))
    for label, text in _facts(figures):
        facts.add_row(Text(label, "bold"), Text(text))
    console.print(facts)
    if figures.sources:
        console.print()
        console.print(_skill_table(figures))
        console.print(Text(_SKILL_NOTE, "dim"))
        console.print()
        console.print(_source_table(figures.sources))
    nights = [report for report in figures.sleeps if report.outcome in NIGHTS and not report.stream]
    if nights:
        console.print()
        console.print(_sleep_table(nights[-_MAX_SLEEPS_SHOWN:]))
        if len(nights) > _MAX_SLEEPS_SHOWN:
            console.print(Text(f"the last {_MAX_SLEEPS_SHOWN} of {len(nights)} nights", "dim"))


def _counted(totals: Mapping[str, int]) -> list[str]:
    """One line of what an environment counted, or none."""
    text = ", ".join(f"{name} {count(num)}" for name, num in totals.items())
    return [text] if text else []


def _facts(figures: SessionFigures) -> list[tuple[str, str]]:
    memory = figures.memory
    states = ", ".join(f"{state} {_share(num, figures.num_ticks)}" for state, num in figures.ticks_in_state)
    events = ", ".join(f"{count(num)} {_EVENTS.get(kind, kind)}" for kind, num in figures.num_events)
    ticks = f"{count(figures.num_ticks)} ticks at {number(figures.tick_hz)} Hz"
    facts = [
        ("session", f"{duration(figures.duration_secs)}; {ticks}; {states or DASH}"),
        ("tick time", _tick_fact(figures)),
        ("prediction", figures.verdict),
        ("coherence", _coherence_fact(figures)),
        (
            "memory",
            f"{count(memory.num_kept)} experiences stored of {count(memory.num_seen)} seen (capacity"
            f" {count(memory.capacity)}); {count(memory.num_transitions)} recent transitions"
            f"{warming_text(memory)}",
        ),
        ("practice", _practice_fact(figures)),
        ("sleep", _sleep_fact(figures)),
        ("events", events or "none"),
    ]
    if memory.salience_weights:
        weights = ", ".join(f"{n} {number(w)}" for n, w in zip(SCORES, memory.salience_weights))
        facts.insert(5, ("salience", f"weights learned from which memories were of use: {weights}"))
    if figures.sidecar.num_bound:
        facts.insert(5, ("reward", _sidecar_fact(figures.sidecar)))
    if figures.skips:
        facts.insert(3, ("skipped", f"in ticks: {skips_line(figures.skips)}"))
    segments = budget_line(figures.budget)
    if segments:
        facts.insert(3, ("segments", segments))
    if figures.missing:
        missing = "; ".join(f"{name} ({_without(name, reason)})" for name, reason in figures.missing)
        facts.insert(1, ("missing", f"optional sensors that are not available: {missing}"))
    return facts


def _sidecar_fact(sidecar: SidecarFigures) -> str:
    return (
        f"sidecar: {count(sidecar.num_bound)} contexts bound to the reward that followed; mean squared error"
        f" {number(sidecar.sidecar_error, 3)}, of the model's value head {number(sidecar.value_error, 3)};"
        f" best weight of the sidecar {percent(sidecar.share)}"
    )


def _share(part: int, whole: int) -> str:
    """In percent; something that rounds to nothing is below 1%."""
    return "<1%" if 0 < part < 0.005 * whole else percent(part / whole)


def _tick_fact(figures: SessionFigures) -> str:
    nights = night_ticks_text(figures.night_ticks)
    whole = f"median {millis(figures.tick_p50_ns)}, 99th percentile {millis(figures.tick_p99_ns)}"
    overhead = (
        f"median {millis(figures.overhead_p50_ns, 2)}, 99th percentile {millis(figures.overhead_p99_ns, 2)}"
    )
    return (
        f"{whole}{nights and f' ({nights})'}; without the model: {overhead};"
        f" {count(figures.num_overruns)} ticks took longer than their period"
    )


def _coherence_fact(figures: SessionFigures) -> str:
    now, mean = figures.coherence, figures.mean_coherence
    if math.isnan(mean.coherence):
        return "not measured: too few readings"
    return (
        f"{number(now.coherence)} at the end, {number(mean.coherence)} on average, of at most 1; agreement"
        f" between sources {number(now.agreement)} ({number(now.agreement_null)} expected by chance),"
        f" correctness {number(now.correctness)}"
    )


def _practice_fact(figures: SessionFigures) -> str:
    learning = figures.learning
    resets = f"; {count(learning.num_carry_resets)} carry resets" if learning.num_carry_resets else ""
    return (
        f"{count(learning.num_practice_steps)} training steps; {percent(learning.gate)} of the recurrent"
        f" correction is added to the prediction{resets}"
    )


def _without(name: str, reason: str) -> str:
    """`reason` without the name in front of it and without the remedy behind it."""
    return reason.removeprefix(f"{name}: ").partition(";")[0]


def _sleep_fact(figures: SessionFigures) -> str:
    """The number of each outcome, with the newest reason of a skipped or failed sleep."""
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
        parts.append("one unfinished at the end of the session, its weights discarded")
    text = ", ".join(parts) or "none"
    return f"{count(figures.num_sleeps)}: {text}" if figures.num_sleeps else text


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            heading, justify="left" if index == 0 else "right", no_wrap=index > 0, overflow="ellipsis"
        )
    return table


def _skill_table(figures: SessionFigures) -> Table:
    has_slept = any(report.outcome in NIGHTS and not report.stream for report in figures.sleeps)
    sleep = ("before\nsleep", "after\nsleep") if has_slept else ()
    table = _table("\nskill", "\nscored", "\noverall", "first\n⅓", "last\n⅓", *sleep, "HRM\nadds")
    for source in figures.sources:
        table.add_row(Text(source.name), *_skill_cells(source.skill, has_slept))
    if len(figures.sources) > 1:
        table.add_row(ALL_PHYSICAL, *_skill_cells(figures.skill, has_slept), style="bold")
    return table


def _skill_cells(skill: SkillFigures, has_slept: bool) -> tuple[str, ...]:
    sleep = (skill.before_sleep, skill.after_sleep) if has_slept else ()
    stretches = (skill.overall, skill.first_third, skill.last_third, *sleep)
    return (
        count(skill.num_scored),
        *(signed(value) for value in stretches),
        signed_percent(skill.gain_over_skip),
    )


def _source_table(sources: tuple[SourceFigures, ...]) -> Table:
    table = _table("source", "readings", "dropped", "late", "duplicate", "faults", "trust")
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
        trust = number(source.trust) if source.is_judged else "not judged"
        status = Text(source.status + (f": {source.reason}" if source.reason else ""), style)
        table.add_row(Text(source.name), *(count(value) for value in counts), trust, status)
    return table


def _sleep_table(sleeps: Sequence[SleepReport]) -> Table:
    table = _table("sleep", "replayed", "examined", "error reduction", "90% interval")
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
            signed_percent(report.gain),
            interval,
        )
    return table
