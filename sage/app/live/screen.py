"""Drawing of the live view: from its state and the size of the screen to lines of text.

Invariant: a pure function; never wider or taller than the screen. On a small screen the least important
columns and rows are left out, and the rows are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.console import ConsoleDimensions
from rich.text import Text

from sage.app.live.state import LiveState, ReturnMeans, SourceMemory
from sage.app.terminal import figures
from sage.app.terminal.warming import warming_text
from sage.runtime.report import ActingFacts, SleepOutcome, State, TickFacts
from sage.runtime.scheduling.ledger import MICRO

_STATE_STYLES = {
    State.WAKE: "bold green",
    State.FOCUS: "bold yellow",
    State.REST: "bold blue",
    State.DREAM: "bold magenta",
    State.CRISIS: "bold red",
}
_OUTCOME_STYLES = {SleepOutcome.ACCEPTED: "green", SleepOutcome.FAILED: "red"}
_STATUS_STYLES = {
    "running": "",
    "starting": "dim",
    "quarantined": "red",
    "exhausted": "dim",
    "closed": "dim",
    "disabled": "dim",
}
_LABEL_WIDTH = 11


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    width: int
    #: Shown from this screen width on.
    from_width: int


_COLUMNS = (
    _Column("trust", 11, 0),
    _Column("weight", 6, 88),
    _Column("age", 6, 0),
    _Column("rate", 7, 60),
    _Column("surprise", 8, 72),
    _Column("skill", 6, 0),
    _Column("drops", 5, 52),
    _Column("faults", 6, 60),
    _Column("skipped", 14, 116),
)


def draw(state: LiveState, size: ConsoleDimensions) -> Text:
    """The whole screen, at most `size.height` lines."""
    width = max(20, size.width - 1)
    if state.report is None:
        return Text("waiting for the first tick …", "dim")
    top = [_heading(state, width), Text()]
    middle = _figures(state, width)
    notices = [_fit(Text(notice, "yellow"), width) for notice in state.notices]
    room = max(0, size.height - len(top) - len(middle) - len(notices) - 2)
    sources = _sources(state, width, room)
    num_events = max(0, room - len(sources) - 1)
    events = _events(state, width, min(num_events, 12))
    lines = [*top, *sources, Text(), *middle, *([Text(), *events] if events else []), *notices]
    return Text("\n").join(lines[: size.height])


def status_line(state: LiveState) -> str:
    """One line for a log file."""
    if state.report is None:
        return "waiting for the first tick"
    facts = state.report.facts
    elapsed = figures.duration((facts.time_ns - state.first_ns) / 1e9)
    out = sum(memory.facts.status == "quarantined" for memory in state.sources.values())
    skills = ", ".join(
        f"{name} {figures.signed(memory.skill.skill)}" for name, memory in state.sources.items()
    )
    parts = [
        f"{facts.state.value} {elapsed}",
        f"tick {facts.tick:,} at {figures.number(state.ticks.hz(facts.time_ns), 1)} Hz",
        f"{len(state.sources)} sources" + (f", {out} quarantined" if out else ""),
        f"coherence {figures.number(facts.coherence.coherence)}",
        f"skill {skills}",
        f"{facts.memory.num_kept:,} experiences stored",
        f"{facts.learning.num_practice_steps:,} practice steps",
        *(
            f"{level.name} {figures.percent(level.recent)} right"
            for stream in facts.solving
            for level in stream.levels
            if level.num_answered
        ),
        f"{state.num_sleeps} sleeps",
        *state.notices,
    ]
    return "; ".join(parts)


def _heading(state: LiveState, width: int) -> Text:
    assert state.report is not None
    facts = state.report.facts
    left = Text.assemble((f" {facts.state.value.upper()} ", f"{_STATE_STYLES[facts.state]} reverse"), "  ")
    left.append(figures.duration((facts.time_ns - state.first_ns) / 1e9))
    left.append(f"  tick {facts.tick:,}  {figures.number(state.ticks.hz(facts.time_ns), 1)} Hz")
    if not 0.8 < state.speed < 1.25 and math.isfinite(state.speed):
        left.append(f"  {state.speed:.3g}× real time")  # noqa: RUF001  a multiplication sign is meant
    details = f"  {figures.millis(state.mean_tick_ns)} ({figures.millis(state.mean_model_ns)} model)"
    details += f"  {state.num_overruns:,} overruns"
    if left.cell_len + len(details) <= width:
        left.append(details, "dim")
    if left.cell_len + len(state.title) + 2 <= width:
        left.append(" " * (width - left.cell_len - len(state.title)))
        left.append(state.title, "dim")
    return _fit(left, width)


def _sources(state: LiveState, width: int, room: int) -> list[Text]:
    """A heading and one row per source, with the reason of a fault below its row."""
    columns = [column for column in _COLUMNS if width >= column.from_width]
    name_width = max(6, width - sum(column.width + 2 for column in columns))
    name_width = min(name_width, max([6, *(len(name) for name in state.sources)]))
    heading = Text("source".ljust(name_width), "dim")
    for column in columns:
        heading.append(
            "  " + (column.heading.ljust if column.heading == "trust" else column.heading.rjust)(column.width)
        )
    lines = [_fit(heading, width)]
    num_shown = 0
    for memory in state.sources.values():
        row = [_source_row(memory, state, columns, name_width)]
        if memory.facts.reason:
            row.append(Text(f"  {memory.facts.status}: {memory.facts.reason}", "red"))
        is_last = num_shown + 1 == len(state.sources)
        if len(lines) + len(row) + (not is_last) > room:
            break
        lines += [_fit(line, width) for line in row]
        num_shown += 1
    num_hidden = len(state.sources) - num_shown
    return [*lines, Text(f"{num_hidden} more", "dim")] if num_hidden else lines


def _source_row(memory: SourceMemory, state: LiveState, columns: list[_Column], name_width: int) -> Text:
    assert state.report is not None
    facts = memory.facts
    style = _STATUS_STYLES.get(facts.status, "")
    name = facts.name if len(facts.name) <= name_width else facts.name[: name_width - 1] + "…"
    row = Text(name.ljust(name_width), style)
    rate = memory.rate.hz(state.report.facts.time_ns)
    cells = {
        "weight": figures.number(facts.weight),
        "age": figures.age(facts.age_ns),
        "rate": figures.DASH if math.isnan(rate) else f"{rate:.1f} Hz",
        "surprise": figures.number(memory.surprise),
        "skill": figures.signed(memory.skill.skill),
        "drops": figures.short_count(facts.num_dropped),
        "faults": figures.short_count(facts.num_faults),
        "skipped": facts.skipped,
    }
    for column in columns:
        row.append("  ")
        if column.heading == "trust" and not facts.is_judged and facts.status == "running":
            row.append("not judged".rjust(column.width), "dim")
        elif column.heading == "trust":
            row.append(figures.bar(facts.trust, 6), "cyan" if facts.status == "running" else "dim")
            row.append(figures.number(facts.trust).rjust(5))
        else:
            row.append(
                cells[column.heading].rjust(column.width),
                "red" if column.heading == "faults" and facts.num_faults else style,
            )
    return row


def _figures(state: LiveState, width: int) -> list[Text]:
    """Surprise, coherence, memory, practice and sleep: a label, figures and a sparkline of the last
    minute.
    """
    assert state.report is not None
    facts = state.report.facts
    coherence, memory, learning = facts.coherence, facts.memory, facts.learning
    surprises = state.surprise.values()
    spark_width = width - _LABEL_WIDTH - 6
    rows = [
        _spark_row(
            "surprise",
            figures.number(surprises[-1]),
            figures.sparkline(surprises, spark_width, 0.0),
            "yellow",
        ),
        _spark_row(
            "coherence",
            figures.number(coherence.coherence),
            figures.sparkline(state.coherence.values(), spark_width, 0.0, 1.0),
            "cyan",
        ),
        _row(
            "",
            f"agreement {figures.number(coherence.agreement)} (chance"
            f" {figures.number(coherence.agreement_null)}), correctness"
            f" {figures.number(coherence.correctness)}; expected surprise: 1",
            "dim",
        ),
        _row(
            "memory",
            f"{memory.num_kept:,} experiences stored of {memory.num_seen:,} seen (capacity"
            f" {memory.capacity:,}){warming_text(memory)}",
        ),
        _row(
            "practice",
            f"{learning.num_practice_steps:,} training steps, {figures.percent(learning.gate)} of the"
            " recurrent correction in use",
        ),
        *_energy_rows(facts),
        *_posture_rows(facts),
        *_action_rows(facts),
        *_solving_rows(state),
        *_world_rows(state),
        *_work_rows(state),
        _sleep_row(state),
        *_mailbox_row(state),
    ]
    return [_fit(row, width) for row in rows]


def _energy_rows(facts: TickFacts) -> list[Text]:
    """The ledger, in a run with energy enabled, in units."""
    energy = facts.energy
    if not energy.supply:
        return []
    text = f"{energy.available / MICRO:.1f} of {energy.supply / MICRO:.1f} available, reserve"
    text += f" {energy.reserve / MICRO:.1f}, {energy.charged / MICRO:.2f} charged in this tick"
    return [_row("energy", text)]


def _posture_rows(facts: TickFacts) -> list[Text]:
    """How well the tick is sensed, in a run with effectors, and the modalities without a trusted source."""
    if not facts.actions:
        return []
    posture = facts.posture
    row = _row(
        "posture",
        f"confidence {figures.number(posture.confidence)}, asymmetry {figures.number(posture.asymmetry)},"
        f" breadth {figures.number(posture.breadth)}",
    )
    if posture.starved:
        row.append(f", starved: {', '.join(posture.starved)}", "yellow")
    return [row]


def _action_rows(facts: TickFacts) -> list[Text]:
    """What the effectors did in this tick; those with nothing to note are counted."""
    notable = []
    for action in facts.actions:
        if action.is_dry:
            notable.append((f"{action.effector}: dry run", "dim"))
        elif action.decision != "allow":
            style = "red" if action.decision == "fault" else "yellow"
            notable.append((f"{action.effector}: {action.decision}: {action.reason}", style))
        elif action.limited_by:
            notable.append((f"{action.effector}: limited by {', '.join(action.limited_by)}", "dim"))
    num_others = len(facts.actions) - len(notable)
    lines = [(f"{num_others} as proposed", "")] if num_others else []
    labels = ["actions", *[""] * len(facts.actions)]
    return [_row(label, text, style) for label, (text, style) in zip(labels, [*notable[:4], *lines])]


def _solving_rows(state: LiveState) -> list[Text]:
    """Two rows a puzzle stream: its levels, and the weights and the puzzle in hand."""
    assert state.report is not None
    rows = []
    for facts in state.report.facts.solving:
        tally = state.solving[facts.stream]
        levels = "; ".join(
            f"{level.name} {figures.percent(level.recent)} of the last {min(level.num_answered, 50)}"
            for level in facts.levels
            if level.num_answered
        )
        rows.append(_row(facts.stream[: _LABEL_WIDTH - 1], levels or "no answer yet"))
        parts = [
            f"{facts.num_under_way} under way",
            f"{figures.number(tally.num_segments, 1)} segments and confidence"
            f" {figures.number(tally.confidence)} an answer",
            f"{facts.num_steps:,} training steps",
            f"weights taken {facts.num_swapped:,} times, refused {facts.num_refused:,}",
        ]
        if math.isfinite(facts.teacher_trust):
            parts.append(f"trust in the teacher {figures.number(facts.teacher_trust)}")
        rows.append(_row("", ", ".join(parts), "dim"))
        if tally.num_open:
            open_cells = " ".join(str(num) for num in tally.num_open)
            rows.append(_row("", f"cells changed by segment of the last answer: {open_cells}", "dim"))
    return rows


def _world_rows(state: LiveState) -> list[Text]:
    """One row for each world that moves by the loop's actions: the returns of its episodes."""
    assert state.report is not None
    return [
        _row(facts.world[: _LABEL_WIDTH - 1], ", ".join(_world_parts(facts, state.returns[facts.world])))
        for facts in state.report.facts.acting
    ]


def _world_parts(facts: ActingFacts, returns: ReturnMeans) -> list[str]:
    parts = [f"return so far {figures.number(facts.episode_return)}"]
    if facts.num_episodes:
        parts.append(f"median of the last {len(returns.last)} episodes {figures.number(returns.median)}")
        parts.append(f"{facts.num_episodes:,} episodes")
    if math.isfinite(returns.success):
        parts.append(f"goal reached in {figures.percent(returns.success)}")
    return parts


def _work_rows(state: LiveState) -> list[Text]:
    """One row for each device that had segments of the budget to ask for."""
    labels = ["work", *[""] * len(state.work)]
    return [_row(label, f"{name}: {sums.text()}") for label, (name, sums) in zip(labels, state.work.items())]


def _mailbox_row(state: LiveState) -> list[Text]:
    """Messages and bytes of the mailboxes."""
    if state.mailboxes is None:
        return []
    rings, pools = state.mailboxes.peripheral, state.mailboxes.focus
    num_messages = sum(ring.pushed for ring in rings) + sum(pool.pushed for pool in pools)
    dropped = sum(pool.drops.total - pool.drops.superseded for pool in pools)
    held = sum(pool.leaks for pool in pools)
    row = _row("mailboxes", f"{len(rings) + len(pools)}  {figures.short_count(num_messages)} messages")
    row.append(f"  {figures.num_bytes(sum(pool.bytes_referenced for pool in pools))} by reference")
    row.append(f", {figures.num_bytes(sum(pool.bytes_copied for pool in pools))} copied")
    row.append(f"  {figures.short_count(dropped)} dropped", "yellow" if dropped else "")
    if held:
        row.append(f"  {held} slots held by views", "red")
    return [row]


def _sleep_row(state: LiveState) -> Text:
    assert state.report is not None
    sleep, is_asleep = state.sleep, state.report.facts.state is State.DREAM
    if sleep is None:
        return _row("sleep", "in progress" if is_asleep else "none yet", "dim")
    row = _row("sleep", "in progress; the last: " if is_asleep else "")
    row.append(sleep.outcome.value.replace("_", " "), _OUTCOME_STYLES.get(sleep.outcome, "yellow"))
    if math.isfinite(sleep.gain):
        row.append(f", error reduction {figures.signed_percent(sleep.gain)}")
        row.append(
            f" ({figures.signed_percent(sleep.gain_low)} to {figures.signed_percent(sleep.gain_high)})", "dim"
        )
    else:
        row.append(f": {sleep.reason}")
    row.append(f"  at tick {sleep.tick:,}, {state.num_sleeps} in all", "dim")
    return row


def _events(state: LiveState, width: int, num: int) -> list[Text]:
    newest = list(state.events)[-num:] if num else []
    lines = []
    for event in newest:
        line = Text(f"{event.tick:>9,}  ", "dim")
        line.append(" ".join(part for part in (event.kind, event.source) if part), "bold")
        line.append(f"  {event.message}")
        lines.append(_fit(line, width))
    return lines


def _row(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((label.ljust(_LABEL_WIDTH), "dim"), (text, style))


def _spark_row(label: str, value: str, sparks: str, style: str) -> Text:
    return Text.assemble((label.ljust(_LABEL_WIDTH), "dim"), value.rjust(4), "  ", (sparks.lstrip(), style))


def _fit(text: Text, width: int) -> Text:
    """One line of at most `width` cells, without line breaks and control characters."""
    clean = text if text.plain.isprintable() else Text(_printable(text.plain), text.style)
    clean.truncate(width, overflow="ellipsis")
    return clean


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
