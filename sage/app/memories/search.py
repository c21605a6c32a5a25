"""`sage memory search`: memories and puzzles under conditions, the nearest to an id or a time first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from sage.app.memories.archive import FIELDS, Archive, Mind, Table
from sage.app.memories.streams import StreamTable, Tasks, drawing_of, read_streams
from sage.app.memories.terms import Term
from sage.app.memories.text import aligned, time_text
from sage.app.terminal.errors import UserError
from sage.hrm_core.tasks.contract import Task

#: Of a solution, in words.
_PROVENANCE = {
    "none": "no solution known",
    "teacher": "solution shown by the environment",
    "verified": "solved awake",
    "search": "solved by a search at night",
    "generated": "of the task's generator",
    "rolled_out": "solved in a dream",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A memory, or a puzzle, whose fields are also those in PUZZLE_FIELDS. similarity: cosine to the memory
    that the search names, None without one or across stores without keys.  distance_secs: from the time that
    it names.  drawing: of a puzzle beside its solution, several lines.
    """

    fields: dict[str, Any]
    similarity: float | None = None
    distance_secs: float | None = None
    drawing: str = ""

    @property
    def is_puzzle(self) -> bool:
        return "puzzle" in self.fields

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        plain = {"similarity": self.similarity, "distance_secs": self.distance_secs}
        return {"fields": self.fields, **plain}


def search(archive: Archive, terms: Sequence[Term], limit: int) -> list[Hit]:
    """The best `limit` memories, then the best `limit` puzzles. A term `id=N` or `time=T` orders by
    similarity or distance to it, the other terms are conditions; without these two the newest come first. A
    puzzle has no id. UserError for an id that is not there.
    """
    near_id = next((term for term in terms if term.name == "id" and term.comparison == "="), None)
    near_time = next((term for term in terms if term.name == "time" and term.comparison == "="), None)
    conditions = [term for term in terms if term is not near_id and term is not near_time]
    hits: list[tuple[float, Hit]] = []
    anchors = _anchors(archive, near_id) if near_id is not None else {}
    for mind, table in archive.tables():
        anchor = anchors.get((mind.key, table.name))
        if near_id is not None and anchor is None:
            continue
        hits += _ranked(mind, table, conditions, anchor, near_time)
    hits.sort(key=lambda ranked: ranked[0])
    puzzles = () if near_id is not None else read_streams(archive.state_dir).tables
    return [*(hit for _, hit in hits[:limit]), *_puzzle_hits(puzzles, conditions, near_time, limit)]


def _puzzle_hits(
    tables: Sequence[StreamTable], conditions: Sequence[Term], near_time: Term | None, limit: int
) -> list[Hit]:
    found: list[tuple[float, int, StreamTable, int]] = []
    for table in tables:
        columns = table.puzzles.columns
        times_ns = columns["time_ns"].astype(np.float64)
        rank = -times_ns if near_time is None else _distance_secs(times_ns, near_time)
        wanted = np.flatnonzero(table.meets(conditions)).tolist()
        found += [(float(rank[at]), -int(columns["number"][at]), table, at) for at in wanted]
    found.sort(key=lambda each: each[:2])
    tasks = Tasks()
    return [
        _puzzle_hit(table, at, None if near_time is None else rank, tasks.of(table))
        for rank, _, table, at in found[:limit]
    ]


def _puzzle_hit(table: StreamTable, at: int, distance_secs: float | None, task: Task | None) -> Hit:
    cells, solution = table.cells(at)
    puzzle = drawing_of(task, cells).splitlines()
    solved = [] if solution is None else drawing_of(task, solution).splitlines()
    rows = [(left, "", right) for left, right in zip_longest(puzzle, solved, fillvalue="")]
    return Hit(fields=table.fields(at, task), distance_secs=distance_secs, drawing=aligned(rows))


def _distance_secs(times_ns: np.ndarray, near_time: Term) -> np.ndarray:
    distance: np.ndarray = np.abs(times_ns - near_time.value) * 1e-9
    return distance


def _anchors(archive: Archive, term: Term) -> dict[tuple[str, str], int]:
    """(mind, store) -> position of the memory with the id, in the stores that have it."""
    found = {}
    for mind, table in archive.tables():
        holds = np.flatnonzero(term.holds(table.columns(), (table.name,), mind.key))
        if holds.size:
            found[mind.key, table.name] = int(holds[-1])
    if not found:
        raise UserError(f"id={term.value:g}: no memory has this id: `sage memory search` lists the newest")
    return found


def _ranked(
    mind: Mind, table: Table, conditions: Sequence[Term], anchor: int | None, near_time: Term | None
) -> list[tuple[float, Hit]]:
    columns = table.columns()
    is_wanted = np.ones(len(table.slots), bool)
    for term in conditions:
        is_wanted &= term.holds(columns, (table.name,), mind.key)
    similarity, distance = None, None
    rank = -columns["time_ns"].astype(np.float64)
    vectors = table.vectors()
    if anchor is not None:
        if vectors is None:  # nothing to compare: the memory itself
            is_wanted &= np.arange(len(is_wanted)) == anchor
            rank = np.full(len(is_wanted), -2.0)
        else:
            similarity = vectors.dot(vectors[anchor])
            rank = -similarity.astype(np.float64)
            rank[anchor] = -2.0
    elif near_time is not None:
        distance = _distance_secs(columns["time_ns"], near_time)
        rank = distance
    return [
        (
            float(rank[at]),
            Hit(
                fields=fields_of(mind, table, columns, at),
                similarity=None if similarity is None else float(similarity[at]),
                distance_secs=None if distance is None else float(distance[at]),
            ),
        )
        for at in np.flatnonzero(is_wanted).tolist()
    ]


def fields_of(mind: Mind, table: Table, columns: dict[str, np.ndarray], at: int) -> dict[str, Any]:
    """One memory by the names in FIELDS, plain values; None for NaN."""
    found: dict[str, Any] = {"mind": mind.key, "store": table.name}
    for name in FIELDS[2:]:
        value = columns[name][at].item()
        found[name] = None if value != value else value
    return found


def render(hits: Sequence[Hit]) -> str:
    """As text: a table of the memories, then each puzzle beside its solution."""
    memories = [hit for hit in hits if not hit.is_puzzle]
    parts = [_memory_table(memories)] if memories else []
    parts += [f"{_puzzle_line(hit)}\n{hit.drawing}" for hit in hits if hit.is_puzzle]
    return "\n\n".join(parts) or "no memory matches"


def _memory_table(hits: Sequence[Hit]) -> str:
    rows = [("id", "store", "time (UTC)", "episode", "context", "salience", "trust", "match")]
    for hit in hits:
        fields = hit.fields
        salience, trust = (
            "-" if fields[name] is None else f"{fields[name]:.2f}" for name in ("salience", "trust")
        )
        match = "-"
        if hit.similarity is not None:
            match = f"{hit.similarity:.3f}"
        elif hit.distance_secs is not None:
            match = f"{hit.distance_secs:.1f} s"
        rows.append(
            (
                _span(fields, "id"),
                fields["store"],
                time_text(fields["time_ns"]),
                _span(fields, "episode"),
                str(fields["context"]),
                salience,
                trust,
                match,
            )
        )
    return aligned(rows)


def _puzzle_line(hit: Hit) -> str:
    fields = hit.fields
    stated = {name: fields[name] for name in ("tick", "episode") if fields[name] is not None}
    when = "time unknown" if fields["time_ns"] is None else f"{time_text(fields['time_ns'])} UTC"
    parts = [when, *(f"{name} {value}" for name, value in stated.items())]
    if hit.distance_secs is not None:
        parts.append(f"{hit.distance_secs:.1f} s away")
    parts.append(_PROVENANCE[fields["provenance"]])
    parts.append(f"trust {fields['trust']:.2f}, surprise {fields['surprise']:.2f}")
    name = f"puzzle {fields['number']} of {fields['mind']}, level {fields['level']}, {fields['store']}"
    return f"{name}: {', '.join(parts)}"


def _span(fields: dict[str, Any], name: str) -> str:
    first, last = fields[f"first_{name}"], fields[name]
    return str(last) if first == last else f"{first}-{last}"
