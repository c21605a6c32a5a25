"""Journal rows put on top of the stores of a snapshot.

Invariant: of several rows of one slot the newest counts, and equal rows applied twice change nothing. A row
that the journal lost leaves no hole: its slot keeps what it had, or is left out.
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
                arrays |= {name: array.copy() for name, array in rows[end].arrays.items()}
            begin = end + 1
    return StoreState(geometry=state.geometry, scalars=rows[-1].scalars, arrays=arrays)


def _with_slots(
    arrays: Mapping[str, np.ndarray], newest: Mapping[int, StoredRow], epoch_ns: int, limits: _Limits
) -> dict[str, np.ndarray]:
    """The arrays with the slots in `newest` replaced, or appended."""
    order = sorted(newest)
    names = list(arrays or newest[order[0]].layout.fields)
    # A store that marks its free slots has some arrays of full length: the slots keep their numbers there.
    may_close_holes = len({len(array) for array in arrays.values()}) <= 1
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
        result[name] = _placed(before, slots, values, may_close_holes)
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


def _placed(before: np.ndarray, order: np.ndarray, values: np.ndarray, may_close_holes: bool) -> np.ndarray:
    """`before` with row order[i] set to values[i]; rows behind its end are appended."""
    is_new = order >= len(before)
    num_added = int(np.count_nonzero(is_new)) if may_close_holes else max(int(order[-1]) + 1 - len(before), 0)
    after = np.concatenate([before, np.zeros((num_added, *before.shape[1:]), before.dtype)])
    to = order.copy()
    if may_close_holes:
        to[is_new] = len(before) + np.arange(num_added)
    after[to] = values
    return after
