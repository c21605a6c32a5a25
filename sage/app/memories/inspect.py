"""`sage memory inspect`: counts, bytes, contexts, times and salience of each store, and the puzzles of each
level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from sage.app.memories.archive import Archive, Mind, Table
from sage.app.memories.levels import inspect_puzzles, render_streams
from sage.app.memories.streams import read_streams
from sage.app.memories.text import aligned, time_text
from sage.memory.stores.entities import EntityMemory, EntityRecord
from sage.runtime.snapshot import STATE, utc_text

_ENTITIES = "entities."
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """Facts of one store. capacity: 0 where unknown.  contexts: number of memories by context.  oldest_ns,
    newest_ns: unix ns, None without a memory.  salience: by quantile, None where the store has none.
    """

    mind: str
    store: str
    num_memories: int
    capacity: int
    num_bytes: int
    num_episodes: int
    contexts: dict[str, int]
    oldest_ns: int | None
    newest_ns: int | None
    salience: dict[str, float] | None


def inspect_table(mind: Mind, table: Table) -> TableFacts:
    columns = table.columns()
    num = len(table.slots)
    labels, counts = np.unique(columns["context"], return_counts=True)
    salience = columns["salience"]
    has_salience = num > 0 and bool(np.isfinite(salience).all())
    return TableFacts(
        mind=mind.key,
        store=table.name,
        num_memories=num,
        capacity=table.capacity,
        num_bytes=table.num_bytes,
        num_episodes=len(np.unique(columns["episode"][columns["episode"] > 0])),
        contexts={str(label): int(count) for label, count in zip(labels.tolist(), counts.tolist())},
        oldest_ns=int(columns["first_time_ns"].min()) if num else None,
        newest_ns=int(columns["time_ns"].max()) if num else None,
        salience={f"{each:g}": float(np.quantile(salience, each)) for each in QUANTILES}
        if has_salience
        else None,
    )


def as_plain(archive: Archive) -> dict[str, Any]:
    """For JSON."""
    streams = read_streams(archive.state_dir)
    return {
        "state_dir": str(archive.state_dir),
        "damaged": [*archive.damaged, *streams.damaged],
        "minds": [
            {
                "mind": mind.key,
                "snapshot": None if mind.folder is None else str(mind.folder),
                "saved_ns": mind.about.get("saved_ns"),
                "tick": mind.about.get("tick"),
                "weights_version": mind.about.get("weights_version"),
                "num_journal_rows": len(mind.contents.rows),
                "num_damaged_rows": mind.contents.num_damaged,
                "entities": [asdict(each) for each in entities_of(mind)],
                "stores": [asdict(inspect_table(mind, table)) for table in mind.tables],
            }
            for mind in archive.minds
        ],
        "puzzles": [asdict(inspect_puzzles(table)) for table in streams.tables],
    }


def render(archive: Archive) -> str:
    """As text."""
    headings = ("store", "memories", "MB", "episodes", "contexts", "oldest (UTC)", "newest (UTC)")
    lines = []
    for mind in archive.minds:
        lines.append(_heading(mind))
        cells = (_cells(inspect_table(mind, table)) for table in mind.tables)
        lines.append(aligned([(*headings, "salience 10% 50% 90%"), *cells]))
        entities = entities_of(mind)
        if entities:
            lines.append(render_entities(entities))
    streams = read_streams(archive.state_dir)
    lines += render_streams(streams)
    damaged = (*archive.damaged, *streams.damaged)
    return "\n".join([*lines, *(f"damaged: {line}" for line in damaged)])


def entities_of(mind: Mind) -> list[EntityRecord]:
    """Who was right, by the snapshot, least trusted first; empty without a snapshot or in an older one."""
    return entity_memory_of(mind).records()


def entity_memory_of(mind: Mind) -> EntityMemory:
    """The snapshot's, empty without a snapshot or in an older one."""
    if mind.folder is None or not (mind.folder / STATE).exists():
        return EntityMemory(is_compiled=False)
    arrays = {
        name.removeprefix(_ENTITIES): array
        for name, array in load_file(mind.folder / STATE).items()
        if name.startswith(_ENTITIES)
    }
    if not arrays:
        return EntityMemory(is_compiled=False)
    num_entities, num_columns, _ = arrays["counts"].shape
    entities = EntityMemory(num_columns - 1, num_entities=max(num_entities, 1), is_compiled=False)
    entities.load_state(arrays)
    return entities


def render_entities(records: Sequence[EntityRecord]) -> str:
    """A table as text."""
    columns = ("who was right", "trust", "judgements", "trust by context")
    return aligned([columns, *map(_entity_cells, records)])


def _entity_cells(record: EntityRecord) -> tuple[str, ...]:
    contexts = " ".join(f"{context}: {trust:.2f}" for context, trust in record.by_context.items())
    return (record.name, f"{record.trust:.2f}", f"{record.right + record.wrong:.0f}", contexts or "-")


def _heading(mind: Mind) -> str:
    rows = f"{len(mind.contents.rows)} later changes in the journal"
    if mind.folder is None:
        return f"mind {mind.key}: no snapshot, {rows}"
    saved_ns = mind.about.get("saved_ns", (Path(mind.folder) / "mind.json").stat().st_mtime_ns)
    about = f"tick {mind.about['tick']}, weights version {mind.about['weights_version']}"
    return f"mind {mind.key}: snapshot of {utc_text(int(saved_ns))} ({about}), {rows}"


def _cells(facts: TableFacts) -> tuple[str, ...]:
    held = f"{facts.num_memories} of {facts.capacity}" if facts.capacity else str(facts.num_memories)
    times = map(time_text, (facts.oldest_ns, facts.newest_ns))
    salience = "-" if facts.salience is None else " ".join(f"{x:.2f}" for x in facts.salience.values())
    megabytes = f"{facts.num_bytes / 1e6:.2f}"
    return (facts.store, held, megabytes, str(facts.num_episodes), str(len(facts.contexts)), *times, salience)
