"""`sage memory inspect`: the puzzles of each stream and level, by table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sage.app.memories.streams import Streams, StreamTable
from sage.app.memories.text import aligned, time_text
from sage.runtime.sleep.puzzles.contents import LATER
from sage.runtime.sleep.puzzles.memory import TABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class PuzzleFacts:
    """Facts of one table of one level. capacity: 0 where there is none.  first_tick, last_tick: of the newest
    run, None without a puzzle of it.  oldest_ns, newest_ns: unix ns, None without a puzzle whose time is
    known.
    """

    stream: str
    level: str
    context: int
    table: str
    num_puzzles: int
    capacity: int
    num_bytes: int
    first_tick: int | None
    last_tick: int | None
    oldest_ns: int | None
    newest_ns: int | None


def inspect_puzzles(table: StreamTable) -> PuzzleFacts:
    columns = table.puzzles.columns
    ticks: list[int] = columns["tick"][columns["tick"] >= 0].tolist()
    times_ns: list[int] = columns["time_ns"][columns["time_ns"] > 0].tolist()
    return PuzzleFacts(
        stream=table.stream,
        level=table.level,
        context=table.puzzles.level,
        table=table.puzzles.table,
        num_puzzles=len(table),
        capacity=table.puzzles.capacity,
        num_bytes=table.puzzles.num_bytes,
        first_tick=min(ticks, default=None),
        last_tick=max(ticks, default=None),
        oldest_ns=min(times_ns, default=None),
        newest_ns=max(times_ns, default=None),
    )


def render_streams(streams: Streams) -> list[str]:
    """For each stream a heading and a table with a row for each level."""
    lines = []
    for stream, tables in groupby(streams.tables, lambda table: table.stream):
        facts = [inspect_puzzles(table) for table in tables]
        num = sum(each.num_puzzles for each in facts)
        lines.append(f"puzzles {stream}: {num} in all tables")
        headings = ("level", *TABLES, LATER, "MB", "ticks", "oldest (UTC)", "newest (UTC)")
        levels = dict.fromkeys((each.context, each.level) for each in facts)
        rows = (_cells([each for each in facts if each.context == number]) for number, _ in sorted(levels))
        lines.append(aligned([headings, *rows]))
    return lines


def _cells(facts: Sequence[PuzzleFacts]) -> tuple[str, ...]:
    """Of one level."""
    held = {each.table: _held(each) for each in facts}
    ticks = [tick for each in facts for tick in (each.first_tick, each.last_tick) if tick is not None]
    times_ns = [time for each in facts for time in (each.oldest_ns, each.newest_ns) if time is not None]
    return (
        facts[0].level,
        *(held.get(name, "0") for name in (*TABLES, LATER)),
        f"{sum(each.num_bytes for each in facts) / 1e6:.2f}",
        f"{min(ticks)}-{max(ticks)}" if ticks else "-",
        time_text(min(times_ns, default=None)),
        time_text(max(times_ns, default=None)),
    )


def _held(facts: PuzzleFacts) -> str:
    return f"{facts.num_puzzles} of {facts.capacity}" if facts.capacity else str(facts.num_puzzles)
