"""A batch of reports as the rows of the metrics store.

Invariant: an item that fits no row changes nothing; the others are written.
"""

from __future__ import annotations

import sqlite3

from sage.app.store.boards import board_rows, insert_boards
from sage.app.store.episodes import INSERT_EPISODE, episode_row
from sage.app.store.rows import answer_rows, coherence_row, event_row, sleep_row, source_row, tick_row
from sage.app.store.schema import (
    ANSWER_COLUMNS,
    SLEEP_COLUMNS,
    SOURCE_COLUMNS,
    TICK_COLUMNS,
    insert_into,
)
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.report import Event, SleepReport, TickReport

Item = TickReport | SleepReport | Event | tuple[CoherenceRow, ...]

_INSERT_TICK = insert_into("ticks", ("session", "tick"), TICK_COLUMNS)
_INSERT_SOURCE = insert_into("sources", ("session", "source", "tick"), SOURCE_COLUMNS)
_INSERT_ANSWERS = insert_into("answers", ("session", "level", "tick"), ANSWER_COLUMNS)
_INSERT_SLEEP = insert_into("sleeps", ("session", "end_tick"), SLEEP_COLUMNS)
INSERT_EVENT = (
    "INSERT OR IGNORE INTO events (session, tick, kind, source, message, data, fingerprint) VALUES (?, ?, ?,"
    " ?, ?, ?, ?)"
)
_INSERT_COHERENCE = "INSERT OR REPLACE INTO coherence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def num_rows_of(item: Item) -> int:
    """About how many rows it becomes."""
    return 1 + len(item.facts.sources) if isinstance(item, TickReport) else 1


class BatchRows:
    """A batch as rows. An item that fits no row is counted and left out; the others are written."""

    def __init__(
        self,
        session: int,
        source_ids: dict[str, int],
        level_ids: dict[tuple[str, str], int],
        last_tick: int,
    ) -> None:
        self._session = session
        self._known = source_ids
        self._known_levels = level_ids
        self.new_sources: dict[str, int] = {}
        self.new_levels: dict[tuple[str, str], int] = {}
        self.num_unstorable = 0
        self.last_tick = last_tick
        self._ticks: list[tuple[object, ...]] = []
        self._sources: list[tuple[object, ...]] = []
        self._answers: list[tuple[object, ...]] = []
        self._sleeps: list[tuple[object, ...]] = []
        self._events: list[tuple[object, ...]] = []
        self._coherence: list[tuple[object, ...]] = []
        self._episodes: list[tuple[object, ...]] = []
        self._boards: list[tuple[object, ...]] = []

    def add(self, item: Item) -> None:
        try:
            if isinstance(item, TickReport):
                self._add_tick(item)
            elif isinstance(item, SleepReport):
                self._sleeps.append(sleep_row(self._session, self.last_tick, item))
            elif isinstance(item, tuple):
                self._coherence += [coherence_row(self._session, row) for row in item]
            else:
                self._events.append(event_row(self._session, item))
        except (TypeError, ValueError, OverflowError):
            self.num_unstorable += 1

    def insert(self, connection: sqlite3.Connection) -> None:
        names = [(self._session, number, name) for name, number in self.new_sources.items()]
        connection.executemany("INSERT OR REPLACE INTO source_names VALUES (?, ?, ?)", names)
        levels = [(self._session, number, *key) for key, number in self.new_levels.items()]
        connection.executemany("INSERT OR REPLACE INTO level_names VALUES (?, ?, ?, ?)", levels)
        connection.executemany(_INSERT_TICK, self._ticks)
        connection.executemany(_INSERT_SOURCE, self._sources)
        connection.executemany(_INSERT_ANSWERS, self._answers)
        connection.executemany(_INSERT_SLEEP, self._sleeps)
        connection.executemany(INSERT_EVENT, self._events)
        connection.executemany(_INSERT_COHERENCE, self._coherence)
        connection.executemany(INSERT_EPISODE, self._episodes)
        insert_boards(connection, self._boards)

    def _add_tick(self, report: TickReport) -> None:
        facts = report.facts
        order = [self._source_id(source.name) for source in facts.sources]
        tick = tick_row(self._session, report, order)
        sources = [
            source_row(self._session, number, facts.tick, source)
            for number, source in zip(order, facts.sources)
        ]
        answers = [
            row
            for solving in facts.solving
            for row in answer_rows(
                self._session,
                [self._level_id(solving.stream, level.name) for level in solving.levels],
                facts.tick,
                solving,
            )
        ]
        events = [event_row(self._session, event) for event in facts.events]
        ended = [episode_row(self._session, facts.tick, world) for world in facts.acting]
        boards = [row for each in facts.solving for row in board_rows(self._session, facts.tick, each)]
        self._ticks.append(tick)
        self._sources += sources
        self._answers += answers
        self._episodes += [row for row in ended if row is not None]
        self._boards += boards
        self._events += events
        self.last_tick = facts.tick

    def _source_id(self, name: str) -> int:
        if name in self._known:
            return self._known[name]
        return self.new_sources.setdefault(name, len(self._known) + len(self.new_sources))

    def _level_id(self, stream: str, level: str) -> int:
        key = (stream, level)
        if key in self._known_levels:
            return self._known_levels[key]
        return self.new_levels.setdefault(key, len(self._known_levels) + len(self.new_levels))
