"""The memories in a state directory: each snapshot with the later rows of its journal, as tables.

Invariant: reading changes no memory; a state directory without memories raises UserError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sage.app.config.state_dir import JOURNAL_NAME, MIND_NAME, SOLVING_NAME, default_state_dir, locked
from sage.app.terminal.errors import UserError
from sage.durable import NewerVersion, previous_of, read_checked
from sage.memory.stores.journal_file import JournalContents, read_journal
from sage.memory.stores.journal_swap import journals_in
from sage.memory.stores.recovery import overlaid
from sage.memory.stores.snapshot import SCHEMA, states_in
from sage.memory.stores.state import StoreState
from sage.runtime.snapshot_about import ABOUT, DAMAGE, SnapshotUnavailable, read_about

MEMORY = "memory.safetensors"
#: Fields of a memory of any store, in the order of an export.
FIELDS = (
    "mind",
    "store",
    "id",
    "first_id",
    "episode",
    "first_episode",
    "context",
    "time_ns",
    "first_time_ns",
    "salience",
    "trust",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The memories of one store, n of them. states' times count from epoch_ns, unix ns.

    slots: (n,) rows of the state's arrays.  capacity: 0 where no snapshot states it.
    """

    name: str
    state: StoreState
    slots: np.ndarray
    epoch_ns: int

    @property
    def capacity(self) -> int:
        return int(self.state.geometry.get("capacity", 0))

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays in the snapshot."""
        return sum(array.nbytes for array in self.state.arrays.values())

    def column(self, name: str, default: float = 0) -> np.ndarray:
        """(n,) of an array with one number a slot; `default` where the store has none."""
        array = self.state.arrays.get(name)
        return np.full(len(self.slots), default) if array is None else array[self.slots]

    def columns(self) -> dict[str, np.ndarray]:
        """By the names in FIELDS, without mind and store. Times in unix ns; salience and trust NaN where the
        store has none.
        """
        times_ns = self.column("times_ns").astype(np.int64) + self.epoch_ns
        has_origins = "first_times_ns" in self.state.arrays
        reads = self.state.arrays.get("reads")
        return {
            "id": self.column("ids").astype(np.int64),
            "first_id": self.column("first_ids").astype(np.int64),
            "episode": self.column("episodes").astype(np.int64),
            "first_episode": self.column("first_episodes").astype(np.int64),
            "context": self.column("contexts").astype(np.int64),
            "time_ns": times_ns,
            "first_time_ns": self.column("first_times_ns").astype(np.int64) + self.epoch_ns
            if has_origins
            else times_ns,
            "salience": self.column("salience", np.nan).astype(np.float64),
            "trust": np.full(len(self.slots), np.nan)
            if reads is None
            else reads[self.slots, -1].astype(float),
        }

    def with_freed(self) -> Table:
        """Also the free slots whose arrays still have a memory, which a night has freed."""
        windows = self.state.arrays.get("window.values")
        if windows is None or "is_new" not in self.state.arrays:
            return self
        has_window = windows.any(axis=tuple(range(1, windows.ndim)))
        slots = np.union1d(np.flatnonzero(has_window), np.flatnonzero(self.state.arrays.get("ids", ())))
        return replace(self, slots=np.union1d(self.slots, slots))

    def vectors(self) -> np.ndarray | None:
        """(n, key_dim) unit keys by which memories are recalled; None for a store without keys."""
        keys = self.state.arrays.get("keys")
        return keys[self.slots] if keys is not None and keys.ndim == 2 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """One snapshot with its journal. key: the name of both.  folder: of the snapshot, None without one.
    about: as in the snapshot.  contents: journal rows after the snapshot, which `tables` include.
    """

    key: str
    folder: Path | None
    about: Mapping[str, Any]
    contents: JournalContents
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """All memories of a state directory. damaged: what could not be read, one line each."""

    state_dir: Path
    minds: tuple[Mind, ...]
    damaged: tuple[str, ...]

    def tables(self) -> Iterator[tuple[Mind, Table]]:
        for mind in self.minds:
            for table in mind.tables:
                yield mind, table


@contextmanager
def open_archive(state_dir: Path | None) -> Iterator[Archive]:
    """The memories of a state directory (the default one when None), locked until exit. Raises UserError."""
    path = (state_dir or default_state_dir()).expanduser().absolute()
    if not any((path / name).is_dir() for name in (MIND_NAME, JOURNAL_NAME, SOLVING_NAME)):
        raise UserError(
            f"{path}: no memories are stored here, and `sage run --fast` stores none: start a run without it,"
            " or give another state directory"
        )
    with locked(path):
        yield _read(path)


def _read(state_dir: Path) -> Archive:
    minds, damaged = [], []
    for key in _keys(state_dir):
        journal = state_dir / JOURNAL_NAME / f"{key}.sqlite"
        folder: Path | None = None
        about: dict[str, Any] = {}
        states: dict[str, StoreState] = {}
        newest = state_dir / MIND_NAME / key
        for each in filter(Path.exists, (newest, previous_of(newest))):
            try:
                about, states = read_snapshot(each)
                folder = each
                break
            except (SnapshotUnavailable, NewerVersion):
                raise
            except DAMAGE as error:
                damaged.append(f"{each}: {' '.join(str(error).split())}")
        contents = read_journal(journal, after=int(about.get("journal", 0)))
        if contents.problem:
            damaged.append(f"{journal}: read, but not checked by SQLite: {contents.problem}")
        if contents.num_damaged:
            damaged.append(f"{journal}: {contents.num_damaged} damaged rows are left out")
        epoch_ns = _epoch_ns(folder, about, states, contents)
        minds.append(
            Mind(
                key=key,
                folder=folder,
                about=about,
                contents=contents,
                tables=tuple(_tables(states, contents, epoch_ns)),
            )
        )
    return Archive(state_dir=state_dir, minds=tuple(minds), damaged=tuple(damaged))


def read_snapshot(folder: Path) -> tuple[dict[str, Any], dict[str, StoreState]]:
    """A snapshot's about and the states of its stores, checked. One of DAMAGE when it is damaged, e.g.
    DataError when a digest differs; OSError, SnapshotUnavailable and NewerVersion when it cannot be read now,
    or by this version.
    """
    about = read_about(folder)
    return about, states_in(read_checked(folder / MEMORY, schema=SCHEMA))


def snapshot_tables(folder: Path) -> tuple[Table, ...]:
    """The memories of a snapshot alone, without its journal. Errors as read_snapshot, and OSError."""
    about, states = read_snapshot(folder)
    nothing = JournalContents()
    return tuple(_tables(states, nothing, _epoch_ns(folder, about, states, nothing)))


def _keys(state_dir: Path) -> list[str]:
    minds = {
        path.name.removesuffix(".old")
        for path in (state_dir / MIND_NAME).glob("*")
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith(".damaged")
    }
    return sorted(minds | {path.stem for path in journals_in(state_dir / JOURNAL_NAME)})


def _epoch_ns(
    folder: Path | None, about: Mapping[str, Any], states: Mapping[str, StoreState], contents: JournalContents
) -> int:
    """Wall time from which the times of the states count."""
    if "epoch_ns" in about:
        return int(about["epoch_ns"])
    if folder is None:
        return contents.rows[-1].epoch_ns if contents.rows else 0
    # A snapshot of a version that did not state it: its newest memory is as old as the file.
    times = [state.arrays["times_ns"] for state in states.values() if state.arrays["times_ns"].size]
    newest_ns = max((int(each.max()) for each in times), default=0)
    return (folder / ABOUT).stat().st_mtime_ns - newest_ns


def _tables(states: Mapping[str, StoreState], contents: JournalContents, epoch_ns: int) -> Iterator[Table]:
    names = dict.fromkeys([*states, *(row.store for row in contents.rows)])
    for name in names:
        rows = [row for row in contents.rows if row.store == name]
        state = states.get(name) or StoreState(geometry={}, scalars={}, arrays={})
        if rows:
            block_ns = rows[-1].scalars.get("block_ns")  # of the examination store; not in earlier versions
            state = overlaid(state, rows, epoch_ns, block_ns=block_ns)
        yield Table(name=name, state=state, slots=_used(state), epoch_ns=epoch_ns)


def _used(state: StoreState) -> np.ndarray:
    """The slots that hold a memory. The examination store marks free ones by a key of -inf."""
    keys = state.arrays.get("keys")
    num = len(state.arrays.get("times_ns", ()))
    if keys is None or keys.ndim != 1 or "is_new" not in state.arrays:
        return np.arange(num)
    return np.flatnonzero(keys[:num] > -np.inf)
