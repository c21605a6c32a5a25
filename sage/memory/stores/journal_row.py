"""One row of the memory journal and its bytes: a mark, a sequence number, a checksum, and msgpack.

Invariant: `decode` returns what `encode` was given, or raises DamagedRow; a row that was cut or changed in
any bit is never returned. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack
import numpy as np

from sage.errors import DataError

#: The first bytes of every row: a row is found by them where the database's own pages are damaged.
MARK = b"SAGEJROW"
#: Of rows and of the file: a newer version of either has a higher number.
ROW_VERSION = 1
_HEADER = struct.Struct("<8sIQ16s")  # mark, length of the body, sequence, checksum
HEADER_BYTES = _HEADER.size
#: A longer body is not a row: it bounds what damaged bytes can make a reader allocate.
MAX_BODY_BYTES = 256 << 20


class DamagedRow(DataError):
    """The row is cut or altered."""


class NewerRow(DamagedRow):
    """The row is whole, and of a newer version of SAGE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One memory as its store has it after a write, or (slot -1) arrays of the store as a whole.

    store: its name in the snapshot.  slot: where the memory is.  id, first_id: the newest and the oldest
    experience that it derives from, one number in all stores.  episode, first_episode: the same of episodes.
    epoch_ns: wall time of the run's start, unix ns; the times in `arrays` count from it.  time_ns: of the
    memory, from the same start.  salience, trust: 0..1.  scalars: the store's scalars after the write, JSON
    values.  arrays: values of the slot, by name.
    """

    store: str
    slot: int
    id: int
    first_id: int
    episode: int
    first_episode: int
    context: int
    epoch_ns: int
    time_ns: int
    salience: float
    trust: float
    scalars: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the arrays of a row are in its data: name -> (offset, dtype, shape). num_bytes: of all."""

    fields: Mapping[str, tuple[int, str, tuple[int, ...]]]
    num_bytes: int


class StoredRow(NamedTuple):
    """A row as it was read. sequence: its number in the journal, from 1.  data: the bytes of its arrays, as
    `layout` has them; rows of equal arrays share one layout.  Other fields as JournalRow.
    """

    sequence: int
    store: str
    slot: int
    id: int
    first_id: int
    episode: int
    first_episode: int
    context: int
    epoch_ns: int
    time_ns: int
    salience: float
    trust: float
    scalars_json: str
    layout: Layout
    data: bytes

    @property
    def scalars(self) -> Mapping[str, Any]:
        found: dict[str, Any] = json.loads(self.scalars_json)
        return found

    @property
    def wall_ns(self) -> int:
        """Unix time of the memory in ns."""
        return self.epoch_ns + self.time_ns

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of its arrays, read-only."""
        found = {name: self.array(name) for name in self.layout.fields}
        return {name: array for name, array in found.items() if array is not None}

    def array(self, name: str) -> np.ndarray | None:
        """One of its arrays, read-only; None when it has none of this name."""
        found = self.layout.fields.get(name)
        if found is None:
            return None
        offset, dtype, shape = found
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.data, dtype, count, offset).reshape(shape)


def renumbered(rows: Sequence[StoredRow], newest: int) -> list[StoredRow]:
    """The rows under consecutive numbers up to `newest`: a gap counts as damage."""
    first = newest - len(rows) + 1
    return [row._replace(sequence=first + at) for at, row in enumerate(rows)]


def encode(sequence: int, row: JournalRow) -> bytes:
    """The bytes of a row. ValueError for scalars that JSON lacks, NaN among them."""
    layout = tuple([(name, array.dtype, array.shape) for name, array in row.arrays.items()])
    data = b"".join([array.tobytes() for array in row.arrays.values()])
    return _packed(sequence, row, json.dumps(row.scalars, allow_nan=False), _packed_layout(layout), data)


def encode_stored(row: StoredRow) -> bytes:
    """The bytes of a row that was read, under its own sequence."""
    fields = row.layout.fields.items()
    layout = _packed_layout(tuple([(name, np.dtype(dtype), shape) for name, (_, dtype, shape) in fields]))
    return _packed(row.sequence, row, row.scalars_json, layout, row.data)


@lru_cache(maxsize=64)
def _packed_layout(layout: tuple[tuple[str, np.dtype, tuple[int, ...]], ...]) -> bytes:
    packed: bytes = msgpack.packb([(name, dtype.str, shape) for name, dtype, shape in layout])
    return packed


def _packed(
    sequence: int,
    row: JournalRow | StoredRow,
    scalars: str,
    layout: bytes,
    data: bytes,
) -> bytes:
    body: bytes = msgpack.packb(
        (
            ROW_VERSION,
            row.store,
            row.slot,
            row.id,
            row.first_id,
            row.episode,
            row.first_episode,
            row.context,
            row.epoch_ns,
            row.time_ns,
            float(row.salience),
            float(row.trust),
            scalars,
            layout,
            data,
        )
    )
    head = _HEADER.pack(MARK, len(body), sequence, _checksum(sequence, body))
    return head + body


def announced(head: bytes) -> tuple[int, int] | None:
    """(sequence, bytes of the whole row) as a row's first HEADER_BYTES state them; None for other bytes."""
    if len(head) < HEADER_BYTES:
        return None
    mark, length, sequence, _ = _HEADER.unpack(head[:HEADER_BYTES])
    return (sequence, HEADER_BYTES + length) if mark == MARK and 0 < length <= MAX_BODY_BYTES else None


def decode(data: bytes) -> StoredRow:
    """The row in `data`, which holds exactly one. DamagedRow, or NewerRow for one of a newer version."""
    stated = announced(data)
    if stated is None or len(data) != stated[1]:
        raise DamagedRow(f"{len(data)} bytes are not one row")
    _, _, sequence, checksum = _HEADER.unpack_from(data)
    body = data[HEADER_BYTES:]
    if _checksum(sequence, body) != checksum:
        raise DamagedRow(f"row {sequence}: the checksum differs")
    version, *fields, layout, arrays = msgpack.unpackb(body, use_list=False)
    if version != ROW_VERSION:
        kind = NewerRow if version > ROW_VERSION else DamagedRow
        raise kind(f"row {sequence} has version {version}, this version reads {ROW_VERSION}")
    return StoredRow._make((sequence, *fields, _layout(layout), arrays))


@lru_cache(maxsize=64)
def _layout(packed: bytes) -> Layout:
    offset, fields = 0, {}
    for name, dtype, shape in msgpack.unpackb(packed, use_list=False):
        fields[name] = (offset, dtype, shape)
        offset += np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    return Layout(fields=fields, num_bytes=offset)


def _checksum(sequence: int, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16, salt=sequence.to_bytes(8, "little")).digest()
