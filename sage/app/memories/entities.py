"""`sage entities show`: judgements and trust of each source, by context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sage.app.memories.archive import Archive
from sage.app.memories.inspect import entity_memory_of
from sage.app.memories.text import aligned
from sage.app.terminal.errors import UserError, nearest
from sage.memory.stores.entities import Judgement

#: By the key of a mind: a set of sensors with a model.
Judged = Mapping[str, Sequence[Judgement]]


def judged(archive: Archive, source: str | None = None) -> Judged:
    """The judgements of each mind that has some. UserError for a source that none of them has."""
    found = {mind.key: entity_memory_of(mind).judgements() for mind in archive.minds}
    if source is not None:
        names = {each.name for judgements in found.values() for each in judgements}
        if source not in names:
            hint = nearest(source, sorted(names)) if names else "no source has been judged yet"
            raise UserError(f"--source {source}: {hint}")
        found = {
            key: [each for each in judgements if each.name == source] for key, judgements in found.items()
        }
    return {key: judgements for key, judgements in found.items() if judgements}


def as_plain(found: Judged) -> list[dict[str, Any]]:
    """For JSON."""
    return [{"mind": key, "judgements": [asdict(each) for each in found[key]]} for key in found]


def render(found: Judged) -> str:
    """A table for each mind."""
    if not found:
        return "no source has been judged yet"
    columns = ("source", "context", "right", "wrong", "trust", "90% interval")
    lines = []
    for key, judgements in found.items():
        lines.append(f"mind {key}")
        lines.append(aligned([columns, *map(_cells, judgements)]))
    return "\n".join(lines)


def _cells(each: Judgement) -> tuple[str, ...]:
    return (
        each.name,
        "all" if each.context is None else str(each.context),
        f"{each.right:.1f}",
        f"{each.wrong:.1f}",
        f"{each.trust:.3f}",
        f"{each.low:.3f} to {each.high:.3f}",
    )
