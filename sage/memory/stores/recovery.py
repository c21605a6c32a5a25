"""Journal rows put on top of the stores of a snapshot.

Invariant: of several rows of one slot the newest counts, and equal rows applied twice change nothing. A row
that the journal lost leaves no hole: its slot keeps what it had, or is left out; in a store that marks its
free slots it stays free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.memory.stores.hmemory import HMemory
from sage.memory.stores.journal_row import StoredRow
from sage.memory.stores.state import StoreState

_TIMES = ("times_ns", "first_times_ns")
#: Begins of windows, which move by whole blocks of the examination.
_STARTS = "window.start_time_ns"


def apply_rows(memory: HMemory, rows: Iterable[StoredRow], *, epoch_ns: int) -> int:
    """Repeat the changes in `rows`, oldest first; returns how many were of a store that exists here.

    epoch_ns: wall time of this run's start, unix ns. Times of memories become relative to it, 0 at most.
    """
    by_store: dict[str, list[StoredRow]] = {name: [] for name in memory.stores}
    for row in rows:
        if row.store in by_store:
            by_store[row.store].append(row)
    states = {
        name: overlaid(
            memory.stores[name].state(),
            found,
            epoch_ns,
            newest_ns=0,
            block_ns=memory.examination.schedule.block_ns if name == "examination" else None,
        )
        for name, found in by_store.items()
        if found
    }
    for name, state in states.items():
        memory.stores[name].restore(state)
    memory.begin_episodes()
    return sum(map(len, by_store.values()))


def overlaid(
    state: StoreState,
    rows: Sequence[StoredRow],
    epoch_ns: int,
    *,
    newest_ns: int | None = None,
    block_ns: int | None = None,
) -> StoreState:
    """The state with the changes in `rows`, of one store, oldest first. Times count from `epoch_ns`.

    newest_ns: a later time becomes this one, e.g. when the wall clock was set back.
    block_ns: of an examination, whose windows' begins move by multiples of it; None: of another store.
    """
    limits = _Limits(np.iinfo(np.int64).max if newest_ns is None else newest_ns, block_ns)
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    newest = {row.slot: row for row in rows if row.slot >= 0}
    starts = [at for at, row in enumerate(rows) if row.slot < 0]
    if not starts:
        arrays = _with_slots(arrays, newest, epoch_ns, limits)
    else:  # arrays as a whole lie between writes of slots: in the order of the journal
        begin = 0
        for end in (*starts, len(rows)):
            part = {row.slot: row for row in rows[begin:end]}
            arrays = _with_slots(arrays, part, epoch_ns, limits) if part else arrays
            if end < len(rows):
                arrays |= _as_a_whole(arrays, rows[end])
            begin = end + 1
    return StoreState(geometry=state.geometry, scalars=rows[-1].scalars, arrays=arrays)


def were_moved(memory: HMemory, rows: Iterable[StoredRow]) -> bool:
    """After apply_rows: whether holes were closed, so that memories are in other slots than `rows` state.

    Later rows state the new slots: a snapshot must be written before them.
    """
    num_slots = {name: len(store.state().arrays["keys"]) for name, store in memory.stores.items()}
    return any(row.slot >= num_slots.get(row.store, row.slot + 1) for row in rows)


def _as_a_whole(arrays: Mapping[str, np.ndarray], row: StoredRow) -> dict[str, np.ndarray]:
    """The arrays of a row that changes all slots; a slot whose own row was lost stays free."""
    changed = {name: array.copy() for name, array in row.arrays.items()}
    before = arrays.get("keys", np.zeros(0))[: len(changed["keys"])]
    is_free = np.ones(len(changed["keys"]), bool)
    is_free[: len(before)] = np.isneginf(before)
    changed["keys"][is_free], changed["is_new"][is_free] = -np.inf, False
    return changed


def _with_slots(
    arrays: Mapping[str, np.ndarray], newest: Mapping[int, StoredRow], epoch_ns: int, limits: _Limits
) -> dict[str, np.ndarray]:
    """The arrays with the slots in `newest` replaced, or appended."""
    order = sorted(newest)
    names = list(arrays or newest[order[0]].layout.fields)
    may_close_holes = "is_new" not in names  # a store that marks its free slots: they keep their numbers
    shifts = np.array([newest[slot].epoch_ns - epoch_ns for slot in order], np.int64)
    slots = np.array(order)
    joined = _Joined([newest[slot] for slot in order])
    result = dict(arrays)
    for name in names:
        values = joined.column(name, arrays.get(name))
        if name in _TIMES:
            values = np.minimum(values + shifts, limits.newest_ns)
        elif name == _STARTS and limits.block_ns is not None:
            values = values + shifts // limits.block_ns * limits.block_ns
        before = arrays[name] if arrays else np.zeros((0, *values.shape[1:]), values.dtype)
        free = -np.inf if name == "keys" and not may_close_holes else 0
        result[name] = _placed(before, slots, values, may_close_holes, free)
    return result


@dataclass(frozen=True, slots=True)
class _Limits:
    """newest_ns: no time is later.  block_ns: begins of windows move by multiples of it, None: not at all."""

    newest_ns: int
    block_ns: int | None


class _Joined:
    """The arrays of many rows, one array a name. Rows of one layout are joined as one block of bytes."""

    def __init__(self, rows: Sequence[StoredRow]) -> None:
        self._rows = rows
        self._layout = rows[0].layout
        self._block: np.ndarray | None = None
        if all(row.layout is self._layout for row in rows):
            data = np.frombuffer(b"".join([row.data for row in rows]), np.uint8)
            self._block = data.reshape(len(rows), self._layout.num_bytes)

    def column(self, name: str, before: np.ndarray | None) -> np.ndarray:
        """(rows, ...) of one name; zeros for a row of a version that had no array of this name."""
        if self._block is not None and name in self._layout.fields:
            offset, dtype, shape = self._layout.fields[name]
            num_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
            values = np.ascontiguousarray(self._block[:, offset : offset + num_bytes]).reshape(-1).view(dtype)
            return values.reshape(len(self._rows), *shape)
        arrays = [row.array(name) for row in self._rows]
        given = next((array for array in arrays if array is not None), None)
        if given is None:
            assert before is not None
            return np.zeros((len(arrays), *before.shape[1:]), before.dtype)
        return np.stack([np.zeros_like(given) if array is None else array for array in arrays])


def _placed(
    before: np.ndarray, order: np.ndarray, values: np.ndarray, may_close_holes: bool, free: float
) -> np.ndarray:
    """`before` with row order[i] set to values[i]; rows behind its end are appended, holes are `free`."""
    is_new = order >= len(before)
    num_added = int(np.count_nonzero(is_new)) if may_close_holes else max(int(order[-1]) + 1 - len(before), 0)
    after = np.concatenate([before, np.full((num_added, *before.shape[1:]), free, before.dtype)])
    to = order.copy()
    if may_close_holes:
        to[is_new] = len(before) + np.arange(num_added)
    after[to] = values
    return after
