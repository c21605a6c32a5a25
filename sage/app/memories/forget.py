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

from sage.app.config.state_dir import JOURNAL_NAME, MIND_NAME, SLEEP_NAME
from sage.app.memories.archive import MEMORY, Archive, Mind, Table
from sage.app.memories.puzzles import forget_puzzles
from sage.app.memories.terms import Term
from sage.app.terminal.errors import UserError
from sage.durable import digest_of, previous_of, write_folder
from sage.memory.stores.journal_file import restart_journal
from sage.memory.stores.journal_row import StoredRow, renumbered
from sage.memory.stores.journal_swap import delete_journal
from sage.memory.stores.snapshot import save_states
from sage.memory.stores.state import StoreState
from sage.runtime.snapshot import STATE
from sage.runtime.snapshot_about import ABOUT, write_about

#: Parts of a snapshot that are sums over all memories, and their names in the output.
SUMS = {"entities": "entity memory", "sidecar": "sidecar"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """Deleted: num_memories by store, num_puzzles by stream and table, num_rows of journals, and folders that
    may hold the same memories.

    cleared: counts and fast weights that the memories were part of, of which each is begun anew.
    num_undated: puzzles, of an earlier version, that no condition on time or episode finds.
    """

    num_memories: dict[str, int]
    num_puzzles: dict[str, int]
    num_rows: int
    folders: tuple[str, ...]
    cleared: tuple[str, ...]
    num_undated: int


def forget(archive: Archive, terms: Sequence[Term], *, is_dry: bool = False) -> Forgotten:
    """Delete the memories that meet every term. is_dry: only count.

    Each snapshot is written anew with its journal's rows included; the snapshot before it, damaged files and
    the files of the last night are deleted, since they hold the same memories. Entity memory and the sidecar
    are sums over all memories, of which no part can be taken out: they are cleared. Weights that were trained
    are not changed.
    """
    if not terms:
        raise UserError("no condition is given: name what to forget, e.g. episode=12, or time>10m")
    counts: dict[str, int] = {}
    num_rows = 0
    folders: list[Path] = []
    cleared: list[str] = []
    for mind in archive.minds:
        doomed = {table.name: _doomed(mind, table, terms) for table in mind.tables}
        for name, slots in doomed.items():
            counts[name] = counts.get(name, 0) + len(slots)
        rows = [row for row in mind.contents.rows if _is_row_doomed(mind, row, terms)]
        num_rows += len(rows)
        if not rows and not any(map(len, doomed.values())):
            continue
        folders += _leftovers(archive.state_dir, mind)
        cleared += _parts_of_all(mind)
        if not is_dry:
            _rewrite(archive.state_dir, mind, doomed, terms)
    puzzles = forget_puzzles(archive.state_dir, terms, is_dry=is_dry)
    folders += puzzles.leftovers
    for folder in folders:
        if not is_dry:
            _delete(folder)
    return Forgotten(
        num_memories=counts,
        num_puzzles=puzzles.num_by_table,
        num_rows=num_rows + puzzles.num_rows,
        folders=tuple(map(str, dict.fromkeys(folders))),
        cleared=tuple(dict.fromkeys(cleared)),
        num_undated=puzzles.num_undated,
    )


def _doomed(mind: Mind, table: Table, terms: Sequence[Term]) -> np.ndarray:
    """The slots to delete."""
    columns = table.columns()
    is_doomed = np.ones(len(table.slots), bool)
    for term in terms:
        is_doomed &= term.holds(columns, table.name, mind.key)
    return table.slots[is_doomed]


def _is_row_doomed(mind: Mind, row: StoredRow, terms: Sequence[Term]) -> bool:
    first = row.array("first_times_ns")
    first_ns = row.wall_ns if first is None else row.epoch_ns + int(first)
    columns = {
        "id": row.id,
        "first_id": row.first_id,
        "episode": row.episode,
        "first_episode": row.first_episode,
        "context": row.context,
        "time_ns": row.wall_ns,
        "first_time_ns": first_ns,
        "salience": row.salience,
        "trust": row.trust,
    }
    arrays = {name: np.array([value]) for name, value in columns.items()}
    return row.slot >= 0 and all(term.holds(arrays, row.store, mind.key)[0] for term in terms)


def _rewrite(state_dir: Path, mind: Mind, doomed: Mapping[str, np.ndarray], terms: Sequence[Term]) -> None:
    journal = state_dir / JOURNAL_NAME / f"{mind.key}.sqlite"
    if mind.folder is None:
        kept = [row for row in mind.contents.rows if not _is_row_doomed(mind, row, terms)]
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
            (folder / STATE).write_bytes(save(left))
            written.append(STATE)
        digests = {name: digest_of((folder / name).read_bytes()) for name in written}
        digests = {**mind.about["digests"], **digests}
        epoch_ns = mind.tables[0].epoch_ns
        about = {**mind.about, "digests": digests, "journal": newest, "epoch_ns": epoch_ns}
        write_about(folder, about)
    if journal.exists():
        restart_journal(journal)


def _parts_of_all(mind: Mind) -> list[str]:
    """Of SUMS, those that the snapshot has."""
    if mind.folder is None or not (mind.folder / STATE).exists():
        return []
    found = {name.split(".")[0] for name in load_file(mind.folder / STATE)}
    return [SUMS[name] for name in SUMS if name in found]


def _without(state: StoreState, slots: np.ndarray) -> StoreState:
    """The state without these slots; a store that marks its free slots keeps the numbers of the others."""
    if "is_new" not in state.arrays:
        arrays = {name: np.delete(array, slots, axis=0) for name, array in state.arrays.items()}
        return StoreState(geometry=state.geometry, scalars=state.scalars, arrays=arrays)
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    for name, array in arrays.items():
        array[slots] = -np.inf if name == "keys" else 0
    return StoreState(geometry=state.geometry, scalars=state.scalars, arrays=arrays)


def _leftovers(state_dir: Path, mind: Mind) -> list[Path]:
    """Files and folders that may hold the same memories."""
    folder = state_dir / MIND_NAME / mind.key
    journal = state_dir / JOURNAL_NAME / f"{mind.key}.sqlite"
    candidates = [
        previous_of(folder),
        *(each.with_name(f"{each.name}.damaged") for each in (folder, previous_of(folder), journal)),
        state_dir / SLEEP_NAME,
    ]
    return [each for each in candidates if each.exists() and each != mind.folder]


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.suffix == ".sqlite":
        delete_journal(path)
    else:
        path.unlink(missing_ok=True)
