"""TickReports to rows and back. Invariant: the digest of a report's facts is the same after a round trip."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sqlite3
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgpack

from sage.app.store.schema import SLEEP_COLUMNS, SOURCE_COLUMNS, names_of
from sage.app.store.skipped import pack_skipped, with_skipped
from sage.app.terminal.figures import finite_mean
from sage.runtime.activity import ActivityFacts
from sage.runtime.coherence.rows import CoherenceRow
from sage.runtime.digest import ADDED_MEMORY
from sage.runtime.report import (
    NAN,
    ActingFacts,
    ActionFacts,
    AnswerFacts,
    CoherenceFacts,
    Event,
    LearningFacts,
    LevelExamination,
    LevelFacts,
    MemoryFacts,
    PostureFacts,
    SleepOutcome,
    SleepReport,
    SolvingFacts,
    SourceFacts,
    State,
    TickFacts,
    TickReport,
    TickTiming,
    to_plain,
)
from sage.runtime.scheduling.energy_facts import NO_ENERGY, EnergyFacts
from sage.runtime.scheduling.work_facts import WorkFacts

_RENAMED = {"num_fresh": "is_fresh", "num_attended": "is_attended"}
_source_values = attrgetter(
    *(
        _RENAMED.get(name, name)
        for name in names_of(SOURCE_COLUMNS)
        if name not in ("num_ticks", "num_scored")
    )
)
_sleep_values = attrgetter(*(name for name in names_of(SLEEP_COLUMNS) if name != "levels"))
_ACTION_FIELDS = ("effector", "asked", "done", "decision", "reason", "is_held", "limited_by", "is_dry")
_ENERGY_FIELDS = ("supply", "available", "allocated", "spent", "reserve", "charged")
_EVENT_FIELDS = ("kind", "tick", "source", "message", "data")
_added_memory_values = attrgetter(*ADDED_MEMORY)
_action_values = attrgetter(*_ACTION_FIELDS)
_event_values = attrgetter(*_EVENT_FIELDS)


def tick_row(session: int, report: TickReport, source_ids: Sequence[int]) -> tuple[Any, ...]:
    """In the order of TICK_COLUMNS after (session, tick). SQLite stores NaN as NULL."""
    facts, timing, coherence = report.facts, report.timing, report.facts.coherence
    memory, learning = facts.memory, facts.learning
    return (
        session,
        facts.tick,
        1,
        int(timing.is_overrun),
        int(memory.is_kept),
        facts.time_ns,
        facts.state.value,
        facts.num_segments,
        facts.value,
        timing.total_ns,
        timing.model_ns,
        coherence.xerr,
        coherence.agreement,
        coherence.agreement_null,
        coherence.correctness,
        coherence.coherence,
        coherence.num_ticks,
        memory.num_kept,
        memory.num_seen,
        memory.capacity,
        memory.num_transitions,
        memory.salience,
        learning.loss,
        learning.gate,
        learning.num_practice_steps,
        learning.weights_version,
        learning.num_carry_resets,
        facts.posture.confidence,
        facts.posture.asymmetry,
        facts.posture.breadth,
        json.dumps(facts.posture.starved),
        finite_mean(source.surprise for source in facts.sources),
        facts.activity.h_change,
        facts.activity.l_change,
        bytes.fromhex(facts.digest()),
        _pack_rest(report, source_ids),
    )


def source_row(session: int, source: int, tick: int, facts: SourceFacts) -> tuple[Any, ...]:
    """In the order of SOURCE_COLUMNS after (session, source, tick)."""
    fresh, attended, *others = _source_values(facts)
    is_scored = math.isfinite(facts.error) and math.isfinite(facts.persistence_error)
    return (session, source, tick, 1, fresh, attended, is_scored, *others)


def sleep_row(session: int, end_tick: int, report: SleepReport) -> tuple[Any, ...]:
    """In the order of SLEEP_COLUMNS after (session, end_tick)."""
    outcome, *others = _sleep_values(report)
    return (session, end_tick, outcome.value, *others, json.dumps(to_plain(report.levels)))


def answer_rows(
    session: int, numbers: Sequence[int], tick: int, facts: SolvingFacts
) -> list[tuple[Any, ...]]:
    """One row for each level with answers in this tick. numbers: of the stream's levels, as stored.

    In the order of ANSWER_COLUMNS after (session, level, tick).
    """
    rows = []
    for level, number in enumerate(numbers):
        answers = [answer for answer in facts.answers if answer.level == level]
        if answers:
            sums = (
                len(answers),
                sum(answer.is_right for answer in answers),
                sum(answer.is_abstained for answer in answers),
                sum(answer.num_segments for answer in answers),
                math.fsum(answer.confidence for answer in answers),
            )
            rows.append((session, number, tick, *sums))
    return rows


def event_row(session: int, event: Event) -> tuple[Any, ...]:
    """The fingerprint makes an event that arrives twice (alone and in its tick's facts) one row."""
    data = json.dumps(to_plain(event.data), default=str)
    key = "\0".join((event.kind, event.source, event.message, data)).encode()
    fingerprint = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big", signed=True)
    return (session, event.tick, event.kind, event.source, event.message, data, fingerprint)


def coherence_row(session: int, row: CoherenceRow) -> tuple[Any, ...]:
    return (
        session,
        row.tick,
        row.metric,
        row.modules,
        row.time_ns,
        row.num,
        row.value,
        row.null_mean,
        row.null_std,
        row.z,
        row.estimator,
    )


def read_coherence(connection: sqlite3.Connection, session: int) -> tuple[CoherenceRow, ...]:
    """session: its key."""
    rows = connection.execute("SELECT * FROM coherence WHERE session = ?", (session,))
    return tuple(restore_coherence(row) for row in rows)


def restore_coherence(row: sqlite3.Row) -> CoherenceRow:
    return CoherenceRow(
        metric=row["metric"],
        modules=row["modules"],
        tick=row["tick"],
        time_ns=row["time_ns"],
        num=row["num"],
        value=_number(row["value"]),
        null_mean=_number(row["null_mean"]),
        null_std=_number(row["null_std"]),
        z=_number(row["z"]),
        estimator=row["estimator"],
    )


def restore_tick(tick: sqlite3.Row, sources: Sequence[SourceFacts]) -> TickReport:
    """The report of a row of one tick. sources: in the order of the original facts."""
    stages, actions, events, _, solving, added_memory, acting, skipped, energy, work = _unpack_rest(
        tick["rest"]
    )
    facts = TickFacts(
        tick=tick["tick"],
        time_ns=tick["time_ns"],
        state=State(tick["state"]),
        num_segments=int(tick["num_segments"]),
        value=_number(tick["value"]),
        sources=with_skipped(sources, skipped),
        coherence=CoherenceFacts(
            **{
                name: _number(tick[name])
                for name in ("xerr", "agreement", "agreement_null", "correctness", "coherence")
            },
            num_ticks=tick["coherence_ticks"],
        ),
        memory=MemoryFacts(
            **{name: tick[name] for name in ("num_kept", "num_seen", "capacity", "num_transitions")},
            salience=_number(tick["memory_salience"]),
            is_kept=bool(tick["num_stored"]),
            **dict(zip(ADDED_MEMORY, added_memory)),
        ),
        learning=LearningFacts(
            **{name: tick[name] for name in ("num_practice_steps", "weights_version", "num_carry_resets")},
            loss=_number(tick["loss"]),
            gate=_number(tick["gate"]),
        ),
        actions=actions,
        events=events,
        solving=solving,
        acting=acting,
        posture=PostureFacts(
            **{name: _number(tick[name]) for name in ("confidence", "asymmetry", "breadth")},
            starved=tuple(json.loads(tick["starved"] or "[]")),
        ),
        energy=energy,
        work=work,
        activity=ActivityFacts(h_change=_number(tick["h_change"]), l_change=_number(tick["l_change"])),
    )
    timing = TickTiming(
        total_ns=int(tick["total_ns"]),
        stages=stages,
        model_ns=int(tick["model_ns"]),
        is_overrun=bool(tick["num_overruns"]),
    )
    return TickReport(facts=facts, timing=timing)


def restore_source(name: str, row: sqlite3.Row) -> SourceFacts:
    restored: dict[str, Any] = {
        column.name: row[column.name]
        for column in SOURCE_COLUMNS
        if column.name not in ("num_ticks", "num_scored")
    }
    values: dict[str, Any] = {
        _RENAMED.get(column, column): NAN if value is None else value for column, value in restored.items()
    }
    values["is_fresh"], values["is_attended"] = bool(values["is_fresh"]), bool(values["is_attended"])
    return SourceFacts(name=name, **values)


def restore_sleep(row: sqlite3.Row) -> SleepReport:
    values: dict[str, Any] = {
        name: NAN if row[name] is None else row[name] for name in names_of(SLEEP_COLUMNS)
    }
    levels = tuple(map(_restore_level, json.loads(row["levels"] or "[]")))
    values |= {"outcome": SleepOutcome(values["outcome"]), "stream": row["stream"] or "", "levels": levels}
    return SleepReport(**values)


def _restore_level(plain: dict[str, Any]) -> LevelExamination:
    values: dict[str, Any] = {name: NAN if value is None else value for name, value in plain.items()}
    return LevelExamination(**values)


def restore_event(row: sqlite3.Row) -> Event:
    data = tuple((name, value) for name, value in json.loads(row["data"]))
    return Event(kind=row["kind"], tick=row["tick"], source=row["source"], message=row["message"], data=data)


def source_order(rest: bytes) -> list[int]:
    """The ids of a tick's sources in the order of its facts."""
    return list(_unpack_rest(rest)[3])


def stored_solving(rest: bytes) -> tuple[SolvingFacts, ...]:
    """Of the column `rest` of a tick: the facts of its puzzle streams."""
    return _unpack_rest(rest)[4]


def _pack_rest(report: TickReport, source_ids: Sequence[int]) -> bytes:
    actions = [_action_values(action) for action in report.facts.actions]
    events = [_event_values(event) for event in report.facts.events]
    solving = [dataclasses.asdict(facts) for facts in report.facts.solving]
    added_memory = _added_memory_values(report.facts.memory) if report.facts.memory.has_added else ()
    acting = [dataclasses.asdict(facts) for facts in report.facts.acting]
    energy = () if report.facts.energy == NO_ENERGY else dataclasses.astuple(report.facts.energy)
    work = [dataclasses.asdict(facts) for facts in report.facts.work]
    optional = [solving, added_memory, acting, pack_skipped(report.facts.sources), energy, work]
    while optional and not optional[-1]:
        optional.pop()
    packed: bytes = msgpack.packb((report.timing.stages, actions, events, list(source_ids), *optional))
    return packed


def _unpack_rest(
    rest: bytes,
) -> tuple[
    Any,
    Any,
    Any,
    Any,
    tuple[SolvingFacts, ...],
    tuple[Any, ...],
    tuple[ActingFacts, ...],
    tuple[str, ...],
    EnergyFacts,
    tuple[WorkFacts, ...],
]:
    """Rows of a run without puzzle streams, rewards, worlds and skipped sources, and of earlier versions, end
    after the order.
    """
    stages, actions, events, order, *optional = msgpack.unpackb(rest, use_list=False)
    solving, added_memory, acting, skipped, energy, work = (*optional, (), (), (), (), (), ())[:6]
    return (
        stages,
        tuple(ActionFacts(**dict(zip(_ACTION_FIELDS, values))) for values in actions),
        tuple(Event(**dict(zip(_EVENT_FIELDS, values))) for values in events),
        order,
        tuple(_solving_facts(values) for values in solving),
        added_memory,
        tuple(ActingFacts(**values) for values in acting),
        tuple(skipped),
        EnergyFacts(**dict(zip(_ENERGY_FIELDS, energy))),
        tuple(WorkFacts(**values) for values in work),
    )


def _solving_facts(values: dict[str, Any]) -> SolvingFacts:
    levels = tuple(LevelFacts(**level) for level in values["levels"])
    answers = tuple(AnswerFacts(**answer) for answer in values["answers"])
    return SolvingFacts(**{**values, "levels": levels, "answers": answers})


def _number(value: float | None) -> float:
    return NAN if value is None else value
