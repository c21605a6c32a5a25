"""`sage memory forget`: delete memories, and what derives from them, from every store and file.

Invariant: a crash leaves each snapshot with all of its memories or without the forgotten ones; the journal is
emptied only after the snapshot that includes its rows is on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from sage.app.config.state_dir import MIND_NAME
from sage.app.memories.archive import MEMORY, Archive, Mind, Table, snapshot_tables
from sage.app.memories.centres import recentred
from sage.app.memories.leftovers import (
    delete,
    doomed_rows,
    doomed_slots,
    journal_of,
    leftovers,
    without_doomed,
)
from sage.app.memories.puzzles import forget_puzzles
from sage.app.memories.terms import Term
from sage.app.terminal.errors import UserError
from sage.durable import digest_of, write_folder
from sage.memory.stores.journal_file import restart_journal
from sage.memory.stores.journal_pages import find_rows
from sage.memory.stores.journal_row import renumbered
from sage.memory.stores.journal_swap import finish, present
from sage.memory.stores.snapshot import save_states
from sage.memory.stores.state import StoreState
from sage.runtime.snapshot import STATE
from sage.runtime.snapshot_about import ABOUT, write_about

#: Parts of a snapshot that are sums over all memories, and their names in the output.
SUMS = {"entities": "entity memory", "sidecar": "sidecar"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """Deleted: num_memories by store, num_puzzles by stream and table, num_rows of journals, num_overwritten
    memories of snapshots that later ones had replaced or a night had freed, and files and folders that have
    such memories or cannot be read.

    cleared: counts and fast weights that the memories were part of, of which each is begun anew.
    num_undated: puzzles, of an earlier version, that no condition on time or episode finds.
    """

    num_memories: dict[str, int]
    num_puzzles: dict[str, int]
    num_rows: int
    num_overwritten: int
    folders: tuple[str, ...]
    cleared: tuple[str, ...]
    num_undated: int


def forget(archive: Archive, terms: Sequence[Term], *, is_dry: bool = False) -> Forgotten:
    """Delete the memories that meet every term. is_dry: only count.

    Each snapshot that has one, in its file or its journal, is written anew with its journal's rows included.
    The snapshot before it and damaged files are deleted where they have one or cannot be read, and the files
    of nights always: their windows state neither episode nor wall time. Entity memory and the sidecar
    are sums over all memories, of which no part can be taken out: they are cleared. The centres of the
    contexts of these memories are computed from the memories that are left. Weights that were trained are not
    changed.
    """
    if not terms:
        raise UserError("no condition is given: name what to forget, e.g. episode=12, or time>10m")
    plans = [_planned(archive.state_dir, mind, terms) for mind in archive.minds]
    if not is_dry:  # a repair that a crash cut short may still rename a file, which is then examined
        for plan in plans:
            finish(journal_of(archive.state_dir, plan.mind.key))
    folders = leftovers(archive, terms)
    puzzles = forget_puzzles(archive.state_dir, terms, is_dry=True)  # raises before anything is changed
    folders += puzzles.leftovers
    counts: dict[str, int] = {}
    for name, slots in (each for plan in plans for each in plan.doomed.items()):
        counts[name] = counts.get(name, 0) + len(slots)
    cleared = [part for plan in plans if plan.must_write for part in _parts_of_all(plan.mind)]
    if not is_dry:
        for folder in folders:
            delete(folder)
        for plan in plans:
            if plan.must_write:
                _rewrite(archive.state_dir, plan, terms)
        forget_puzzles(archive.state_dir, terms, is_dry=False)
    return Forgotten(
        num_memories=counts,
        num_puzzles=puzzles.num_by_table,
        num_rows=sum(plan.num_rows for plan in plans) + puzzles.num_rows,
        num_overwritten=sum(plan.num_overwritten for plan in plans),
        folders=tuple(map(str, dict.fromkeys(folders))),
        cleared=tuple(dict.fromkeys(cleared)),
        num_undated=puzzles.num_undated,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """doomed: slots to delete, by store.  num_rows: doomed rows in the journal's file.  num_overwritten:
    doomed memories of the snapshot's file that later rows have replaced or a night has freed.  must_write:
    any of them, or a row that cannot be read.  contexts: of the doomed memories.
    """

    mind: Mind
    doomed: Mapping[str, np.ndarray]
    num_rows: int
    num_overwritten: int
    must_write: bool
    contexts: frozenset[int]


def _planned(state_dir: Path, mind: Mind, terms: Sequence[Term]) -> _Plan:
    doomed = {table.name: doomed_slots(mind.key, table, terms) for table in mind.tables}
    contexts = {each for table in mind.tables for each in _contexts_of(table, doomed[table.name])}
    num_overwritten = 0
    for table in () if mind.folder is None else snapshot_tables(mind.folder):
        slots = doomed_slots(mind.key, table.with_freed(), terms)
        num_overwritten += len(np.setdiff1d(slots, doomed[table.name]))
        contexts.update(_contexts_of(table, slots))
    found = find_rows(present(journal_of(state_dir, mind.key)))
    rows = doomed_rows(mind.key, found, terms)
    contexts.update(row.context for row in rows)
    num_slots = sum(map(len, doomed.values()))
    return _Plan(
        mind=mind,
        doomed=doomed,
        num_rows=len(rows),
        num_overwritten=num_overwritten,
        must_write=bool(num_slots or num_overwritten or rows or found.unreadable),
        contexts=frozenset(contexts),
    )


def _contexts_of(table: Table, slots: np.ndarray) -> list[int]:
    contexts = table.state.arrays.get("contexts")
    return [] if contexts is None else [int(each) for each in contexts[slots]]


def _rewrite(state_dir: Path, plan: _Plan, terms: Sequence[Term]) -> None:
    mind, doomed = plan.mind, plan.doomed
    journal = journal_of(state_dir, mind.key)
    if mind.folder is None:
        kept = without_doomed(mind.key, mind.contents.rows, terms)
        restart_journal(journal, tuple(renumbered(kept, mind.contents.newest_sequence)))
        return
    states = {table.name: _without(table.state, doomed[table.name]) for table in mind.tables}
    newest = max(mind.contents.newest_sequence, int(mind.about.get("journal", 0)))
    with write_folder(state_dir / MIND_NAME / mind.key) as folder:
        for file in mind.folder.iterdir():
            if file.name not in (MEMORY, ABOUT, STATE):
                shutil.copyfile(file, folder / file.name)
        save_states(folder / MEMORY, states)
        written = [MEMORY]
        if (mind.folder / STATE).exists():
            left = {
                name: array
                for name, array in load_file(mind.folder / STATE).items()
                if name.split(".")[0] not in SUMS
            }
            (folder / STATE).write_bytes(save(recentred(left, states.get("recall"), plan.contexts)))
            written.append(STATE)
        digests = {name: digest_of((folder / name).read_bytes()) for name in written}
        digests = {**mind.about["digests"], **digests}
        epoch_ns = mind.tables[0].epoch_ns
        about = {**mind.about, "digests": digests, "journal": newest, "epoch_ns": epoch_ns}
        write_about(folder, about)
    if present(journal).exists():
        restart_journal(journal, newest_sequence=newest)


def _parts_of_all(mind: Mind) -> list[str]:
    """Of SUMS, those that the snapshot has."""
    if mind.folder is None or not (mind.folder / STATE).exists():
        return []
    found = {name.split(".")[0] for name in load_file(mind.folder / STATE)}
    return [SUMS[name] for name in SUMS if name in found]


def _without(state: StoreState, slots: np.ndarray) -> StoreState:
    """The state without these slots; a store that marks its free slots keeps the numbers of the others, and
    what is left in free ones is deleted.
    """
    if "is_new" not in state.arrays:
        arrays = {name: np.delete(array, slots, axis=0) for name, array in state.arrays.items()}
        return StoreState(geometry=state.geometry, scalars=state.scalars, arrays=arrays)
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    arrays["keys"][slots] = -np.inf
    is_free = np.isneginf(arrays["keys"])
    for name, array in arrays.items():
        if name != "keys":
            array[is_free[: len(array)]] = 0
    return StoreState(geometry=state.geometry, scalars=state.scalars, arrays=arrays)
