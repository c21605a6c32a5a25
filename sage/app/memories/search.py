"""`sage memory search`: memories under conditions, the nearest to an id or a time first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sage.app.memories.archive import FIELDS, Archive, Mind, Table
from sage.app.memories.terms import Term
from sage.app.memories.text import aligned
from sage.app.terminal.errors import UserError
from sage.runtime.snapshot import utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A memory. similarity: cosine to the memory that the search names, None without one or across stores
    without keys.  distance_secs: from the time that it names.
    """

    fields: dict[str, Any]
    similarity: float | None = None
    distance_secs: float | None = None


def search(archive: Archive, terms: Sequence[Term], limit: int) -> list[Hit]:
    """The best `limit` memories. A term `id=N` or `time=T` orders by similarity or distance to it, the other
    terms are conditions; without these two the newest come first. UserError for an id that is not there.
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
    return [hit for _, hit in hits[:limit]]


def _anchors(archive: Archive, term: Term) -> dict[tuple[str, str], int]:
    """(mind, store) -> position of the memory with the id, in the stores that have it."""
    found = {}
    for mind, table in archive.tables():
        holds = np.flatnonzero(term.holds(table.columns(), table.name, mind.key))
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
        is_wanted &= term.holds(columns, table.name, mind.key)
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
        distance = np.abs(columns["time_ns"] - near_time.value) * 1e-9
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
    """As text."""
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
                utc_text(fields["time_ns"]).removesuffix(" UTC"),
                _span(fields, "episode"),
                str(fields["context"]),
                salience,
                trust,
                match,
            )
        )
    return aligned(rows) if hits else "no memory matches"


def _span(fields: dict[str, Any], name: str) -> str:
    first, last = fields[f"first_{name}"], fields[name]
    return str(last) if first == last else f"{first}-{last}"
