"""Rows of a journal, read from the raw pages of its SQLite file and its write-ahead log.

A row is found by its mark, not through SQLite's tree: a damaged page loses the rows that touch it and no
other, and rows behind a damaged frame of the log, which SQLite drops, are read too. A row is one BLOB: it
begins in a leaf page and continues in a chain of overflow pages (SQLite file format, sections 1.5 and 1.6).
In the unallocated region of a leaf page, between the cell pointers and the first cell (section 1.6), are
remains of cells that SQLite has moved: a mark there is of no row.
Invariant: every row returned passed its checksum; the files are only read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sage.memory.stores.journal_row import (
    HEADER_BYTES,
    MARK,
    DamagedRow,
    NewerRow,
    StoredRow,
    announced,
    decode,
)

PAGE_BYTES = 4096
_LEAF_OF_TABLE = 0x0D
_PAGE_HEADER_BYTES = 8
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
Pages = Mapping[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRows:
    """rows: intact ones by sequence.  unreadable: sequences of marks whose row is cut or altered.  older: of
    marks whose row was not read, since it is not above `after`.  newer: of the unreadable, those that are
    whole and of a newer version.
    """

    rows: dict[int, StoredRow] = field(default_factory=dict)
    older: set[int] = field(default_factory=set)
    newer: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)


def find_rows(path: Path, *, after: int = 0) -> FoundRows:
    """Every row with a sequence above `after` in the file and its log."""
    log = _log_pages(path.with_name(f"{path.name}-wal"))
    file = _file_pages(path)
    books = (file | dict(log), file) if log else (file,)
    found = FoundRows()
    for page in (*file.values(), *(image for _, image in log)):
        at = page.find(MARK)
        while at >= 0:
            _note_row(found, page, at, books, after)
            at = page.find(MARK, at + 1)
    found.unreadable.difference_update(found.rows)
    return found


def _note_row(found: FoundRows, page: bytes, at: int, books: tuple[Pages, ...], after: int) -> None:
    stated = announced(page[at : at + HEADER_BYTES])
    if stated is None or stated[0] in found.rows:
        return
    sequence, num_bytes = stated
    if sequence <= after:
        found.older.add(sequence)
        return
    for pages in books:
        try:
            is_local = _num_local(num_bytes) == num_bytes
            found.rows[sequence] = decode(
                page[at : at + num_bytes] if is_local else b"".join(_pieces(page, at, num_bytes, pages))
            )
        except NewerRow:
            found.newer.add(sequence)
            continue
        except (DamagedRow, KeyError):
            continue
        return
    if not _is_unallocated(page, at):
        found.unreadable.add(sequence)


def _is_unallocated(page: bytes, at: int) -> bool:
    """Whether a byte is in the unallocated region of a leaf page. Page 1, whose header is elsewhere, has no
    row.
    """
    num_cells, first_cell = int.from_bytes(page[3:5], "big"), int.from_bytes(page[5:7], "big")
    return page[0] == _LEAF_OF_TABLE and _PAGE_HEADER_BYTES + 2 * num_cells <= at < first_cell


def _pieces(page: bytes, at: int, num_bytes: int, pages: Pages) -> Iterator[bytes]:
    """The bytes of one row, page by page. KeyError when its chain leaves the file."""
    num_local = _num_local(num_bytes)
    yield page[at : at + num_local]
    num_left = num_bytes - num_local
    next_page = int.from_bytes(page[at + num_local : at + num_local + 4], "big")
    while num_left > 0:
        overflow = pages[next_page]
        yield overflow[4 : 4 + min(num_left, PAGE_BYTES - 4)]
        num_left -= PAGE_BYTES - 4
        next_page = int.from_bytes(overflow[:4], "big")


@lru_cache(maxsize=256)
def _num_local(num_bytes: int) -> int:
    """How many bytes of a row's BLOB are in its leaf page."""
    record_header = 2 + _varint_bytes(12 + 2 * num_bytes)  # own length, NULL for the key, the BLOB's type
    payload = record_header + num_bytes
    if payload <= PAGE_BYTES - 35:
        return num_bytes
    least = (PAGE_BYTES - 12) * 32 // 255 - 23
    wanted = least + (payload - least) % (PAGE_BYTES - 4)
    return (wanted if wanted <= PAGE_BYTES - 35 else least) - record_header


def _varint_bytes(value: int) -> int:
    return max((value.bit_length() + 6) // 7, 1)


def _file_pages(path: Path) -> dict[int, bytes]:
    data = path.read_bytes() if path.exists() else b""
    starts = range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES)
    return {number: data[at : at + PAGE_BYTES] for number, at in enumerate(starts, start=1)}


def _log_pages(path: Path) -> list[tuple[int, bytes]]:
    """(page number, image) of each whole frame of the log's present generation, oldest first.

    A log that began again has frames of the generation before at its end, with another salt.
    """
    data = path.read_bytes() if path.exists() else b""
    step = _FRAME_HEADER_BYTES + PAGE_BYTES
    frames = range(_LOG_HEADER_BYTES, len(data) - step + 1, step)
    salts = Counter(data[at + 8 : at + 16] for at in frames)
    salt = data[16:24] if data[16:24] in salts else salts.most_common(1)[0][0] if salts else b""
    return [
        (int.from_bytes(data[at : at + 4], "big"), data[at + _FRAME_HEADER_BYTES : at + step])
        for at in frames
        if data[at + 8 : at + 16] == salt
    ]
