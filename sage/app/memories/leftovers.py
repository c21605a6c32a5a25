"""Files of a state directory that have memories beside what a run continues from, for `sage memory forget`.

Invariant: a file is left out only if all of its memories were read and none of them is to be forgotten.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sage.app.config.state_dir import JOURNAL_NAME, MIND_NAME, SLEEP_NAME
from sage.app.memories.archive import Archive, Table, snapshot_tables
from sage.app.memories.terms import Term
from sage.durable import NewerVersion
from sage.memory.stores.journal_pages import FoundRows, find_rows
from sage.memory.stores.journal_row import StoredRow
from sage.memory.stores.journal_swap import delete_journal, files_of
from sage.memory.stores.state import StoreState
from sage.runtime.snapshot_about import DAMAGE, SnapshotUnavailable


def leftovers(archive: Archive, terms: Sequence[Term]) -> list[Path]:
    """What to delete: previous and damaged snapshots and journals that have a memory that meets every term,
    or cannot be read; what a crash left; the files of nights, whose windows state neither episode nor wall
    time.

    Nothing is changed. SnapshotUnavailable, NewerVersion and OSError as read_snapshot, for those that may be
    whole.
    """
    in_use = {mind.folder for mind in archive.minds}
    in_use |= {each for mind in archive.minds for each in files_of(journal_of(archive.state_dir, mind.key))}
    candidates = [
        each
        for name in (MIND_NAME, JOURNAL_NAME)
        for each in sorted((archive.state_dir / name).glob("*"))
        if each not in in_use and not _is_log_of_another(each)
    ]
    found = [
        each
        for each in candidates
        if each.name.startswith(".") or each.name.endswith("-wal") or _may_hold(each, terms)
    ]
    nights = archive.state_dir / SLEEP_NAME
    return [*found, *([nights] if nights.exists() else [])]


def journal_of(state_dir: Path, key: str) -> Path:
    return state_dir / JOURNAL_NAME / f"{key}.sqlite"


def delete(path: Path) -> None:
    """A folder, or a file with its write-ahead log."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        delete_journal(path)


def doomed_slots(mind: str, table: Table, terms: Sequence[Term]) -> np.ndarray:
    """The slots whose memory meets every term."""
    columns = table.columns()
    is_doomed = np.ones(len(table.slots), bool)
    for term in terms:
        is_doomed &= term.holds(columns, (table.name,), mind)
    return table.slots[is_doomed]


def doomed_rows(mind: str, found: FoundRows, terms: Sequence[Term]) -> list[StoredRow]:
    """The rows of a journal whose memory meets every term."""
    return [row for row in found.rows.values() if is_row_doomed(mind, row, terms)]


def is_row_doomed(mind: str, row: StoredRow, terms: Sequence[Term]) -> bool:
    """Whether the memory in the slot, as it was after this row, meets every term."""
    if row.slot < 0:
        return False
    arrays = {
        name: array[None]
        for name in row.layout.fields
        if not name.startswith("window.") and (array := row.array(name)) is not None
    }
    state = StoreState(geometry={}, scalars={}, arrays=arrays)
    table = Table(name=row.store, state=state, slots=np.array([0]), epoch_ns=row.epoch_ns)
    return bool(len(doomed_slots(mind, table, terms)))


def without_doomed(mind: str, rows: Sequence[StoredRow], terms: Sequence[Term]) -> list[StoredRow]:
    """The rows of a journal without a snapshot that are left, with slots as recovery places them: a memory
    that is to be forgotten goes with all rows of its slot.
    """
    newest = {(row.store, row.slot): row for row in rows}
    doomed = {place for place, row in newest.items() if is_row_doomed(mind, row, terms)}
    left = [row for row in rows if (row.store, row.slot) not in doomed]
    kept = [row for row in left if not is_row_doomed(mind, row, terms)]
    places = {(row.store, row.slot) for row in kept if row.slot >= 0 and "is_new" not in row.layout.fields}
    numbers: dict[str, int] = {}
    moved = {}
    for store, slot in sorted(places):
        moved[store, slot] = numbers.get(store, 0)
        numbers[store] = moved[store, slot] + 1
    placed = [row._replace(slot=moved.get((row.store, row.slot), row.slot)) for row in kept]
    newest_rows = {row.store: row for row in rows}
    scalars = {store: dict(row.scalars) for store, row in newest_rows.items()}
    numbers_used = {
        name: max((int(each.get(name, 0)) for each in scalars.values()), default=0)
        for name in ("newest_id", "newest_episode")
    }
    last = {row.store: at for at, row in enumerate(placed)}
    for store, at in last.items():  # numbers are not used again, also of a store without a row
        placed[at] = placed[at]._replace(scalars_json=json.dumps(scalars[store] | numbers_used))
    return placed


def _is_log_of_another(path: Path) -> bool:
    """Whether it is a write-ahead log, and goes or stays with its file."""
    return path.name.endswith("-wal") and path.with_name(path.name.removesuffix("-wal")).exists()


def _may_hold(path: Path, terms: Sequence[Term]) -> bool:
    mind = path.name.split(".")[0]
    if path.parent.name == JOURNAL_NAME:
        found = find_rows(path)
        return bool(found.unreadable or not found.rows or doomed_rows(mind, found, terms))
    try:
        tables = snapshot_tables(path)
    except (SnapshotUnavailable, NewerVersion):
        raise
    except DAMAGE:
        return True
    return any(len(doomed_slots(mind, table.with_freed(), terms)) for table in tables)
