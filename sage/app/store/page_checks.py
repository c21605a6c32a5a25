"""A checksum for every page of the metrics store's file, in a file beside it.

SQLite has none. All changes go through its write-ahead log, whose frames have checksums: before the log is
merged into the file, `merge` writes down what its pages will be. Invariant: at any instant, also after a
kill, each page of the file that has an entry equals the page before or after the last merge, or is damaged.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sage.durable import digest_of, write_file
from sage.errors import DataError

SUFFIX = ".pages"
_MAGIC = b"SAGEPAGE"
_HEAD = struct.Struct("<8sII32s")  # mark, bytes of a page, number of pages, digest of what follows
_LOG_HEAD, _FRAME_HEAD = 32, 24
#: A frame whose salt differs in so few bits from its neighbours' was of the same log.
_FEW_BITS = 2
#: In no log: SQLite writes nothing to the page of this byte, which it locks (The Database File Format, 1.4).
LOCK_BYTE = 1 << 30
#: Held by a transaction that writes, and by a merge: the log's pages must be those that are merged.
WRITING = threading.Lock()
#: How often a page that differs is read again: another process may be merging.
_NUM_LOOKS = 4


class DamagedChecks(DataError):
    """The checksums themselves are damaged; the store may be whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """before, after: (pages,) uint32 CRC-32 of each page, before and after the last merge."""

    page_bytes: int
    before: np.ndarray
    after: np.ndarray


def merge(connection: sqlite3.Connection, path: Path) -> None:
    """Merge the log into the file and empty it. sqlite3.Error, OSError: the log then stays as it is, and the
    store has no checksums until the next merge.

    Only for the process that writes.
    """
    with WRITING:
        try:
            _merge(connection, path)
        except BaseException:
            # Closing a connection merges too, and the checksums would not be those of the pages.
            _beside(path, SUFFIX).unlink(missing_ok=True)
            raise


def _merge(connection: sqlite3.Connection, path: Path) -> None:
    try:
        known = _read(path)
    except DamagedChecks:
        known = None
    pages = _pages_in_log(path)
    if known is None or pages:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        before = _checksums(path, page_bytes) if known is None else known.after
        after = _with(before, pages)
        before = np.concatenate([before, after[len(before) :]])
        _write(path, Checks(page_bytes=page_bytes, before=before, after=after))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def log_bytes(path: Path) -> int:
    log = _beside(path, "-wal")
    return log.stat().st_size if log.exists() else 0


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _with(sums: np.ndarray, pages: dict[int, bytes]) -> np.ndarray:
    """The checksums with those of `pages`, by number from 1, in their places."""
    changed = np.zeros(max(len(sums), max(pages, default=0)), np.uint32)
    changed[: len(sums)] = sums
    for number, image in pages.items():
        changed[number - 1] = zlib.crc32(image)
    return changed


def _checksums(path: Path, page_bytes: int) -> np.ndarray:
    sums = []
    with path.open("rb") as file:
        while len(page := file.read(page_bytes)) == page_bytes:
            sums.append(zlib.crc32(page))
    return np.array(sums, np.uint32)


def _write(path: Path, checks: Checks) -> None:
    body = np.stack([checks.before, checks.after]).astype("<u4").tobytes()
    head = _HEAD.pack(_MAGIC, checks.page_bytes, len(checks.after), b"")
    digest = digest_of(head + body).encode()
    write_file(_beside(path, SUFFIX), _HEAD.pack(_MAGIC, checks.page_bytes, len(checks.after), digest) + body)


def _read(path: Path) -> Checks | None:
    """None without a file. DamagedChecks."""
    try:
        data = _beside(path, SUFFIX).read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < _HEAD.size:
        raise DamagedChecks(f"{_beside(path, SUFFIX)} is cut: delete it")
    mark, page_bytes, num, digest = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if digest_of(_HEAD.pack(mark, page_bytes, num, b"") + body).encode() != digest or mark != _MAGIC:
        raise DamagedChecks(f"{_beside(path, SUFFIX)} is damaged (the checksum differs): delete it")
    before, after = np.frombuffer(body, "<u4").reshape(2, num)
    return Checks(page_bytes=page_bytes, before=before, after=after)


def damage_of_file(path: Path) -> str:
    """What differs in the store's file from what was written, in a few words, "" where nothing does. Only
    reads. DamagedChecks.

    A store without checksums, of an earlier version, has nothing to compare with.
    """
    suspects: list[int] | None = None
    for _ in range(_NUM_LOOKS):
        checks = _read(path)
        if checks is None:
            return ""
        suspects = _differing(path, checks, suspects)
        if not suspects:
            return ""
    assert suspects is not None
    shown = ", ".join(str(number) for number in suspects[:5])
    return f"the checksum of page {shown} differs ({len(suspects)} in all)"


def _differing(path: Path, checks: Checks, only: list[int] | None) -> list[int]:
    found = []
    not_read = _pages_in_log(path).keys() | {LOCK_BYTE // checks.page_bytes + 1}  # newer there, or no data
    with path.open("rb") as file:
        for number in only or range(1, len(checks.after) + 1):
            if only:
                file.seek((number - 1) * checks.page_bytes)
            page = file.read(checks.page_bytes)
            if len(page) < checks.page_bytes:
                break  # the file was shortened since, or its end is in the log
            sums = (int(checks.before[number - 1]), int(checks.after[number - 1]))
            if number not in not_read and zlib.crc32(page) not in sums:
                found.append(number)
    return found


def _frames(data: bytes, page_bytes: int) -> range:
    step = _FRAME_HEAD + page_bytes
    return range(_LOG_HEAD, len(data) - step + 1, step)


def _valid_end(data: bytes) -> int:
    """Where the log's valid frames end; 0 where its head is not valid (SQLite file format, section 4.1)."""
    if len(data) < _LOG_HEAD:
        return 0
    magic, _, page_bytes = struct.unpack_from(">III", data)
    if magic not in (0x377F0682, 0x377F0683) or page_bytes not in [1 << bits for bits in range(9, 17)]:
        return 0
    order = ">" if magic & 1 else "<"
    sums = _rolling(data[:24], order, (0, 0))
    if sums != struct.unpack_from(">II", data, 24):
        return 0
    end = _LOG_HEAD
    for at in _frames(data, page_bytes):
        frame = data[at : at + _FRAME_HEAD + page_bytes]
        sums = _rolling(frame[:8], order, sums)
        sums = _rolling(frame[_FRAME_HEAD:], order, sums)
        if frame[8:16] != data[16:24] or sums != struct.unpack_from(">II", frame, 16):
            break
        end = at + len(frame)
    return end


def _rolling(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """For each pair of words: first += x[0] + second; second += x[1] + first, modulo 2**32."""
    words = np.frombuffer(data, f"{order}u4").astype(np.uint32)
    of_start, of_words = _weights(len(words))
    sums = of_start.dot(np.array(start, np.uint32)) + of_words.dot(words)
    return int(sums[0]), int(sums[1])


@lru_cache(maxsize=4)
def _weights(num_words: int) -> tuple[np.ndarray, np.ndarray]:
    """The recurrence as one product: what the start, and each word, adds to the two sums at the end."""
    step, entry = np.array([[1, 1], [1, 2]], np.uint32), np.array([[1, 0], [1, 1]], np.uint32)
    of_words = np.zeros((2, num_words), np.uint32)
    power = np.eye(2, dtype=np.uint32)
    for at in range(num_words - 2, -1, -2):
        of_words[:, at : at + 2] = power.dot(entry)
        power = power.dot(step)
    return power, of_words


def damage_of_log(path: Path) -> str:
    """How much of the log SQLite leaves out because it is damaged, in a few words, "" where nothing is. While
    no process writes.
    """
    log = _beside(path, "-wal")
    data = log.read_bytes() if log.exists() else b""
    if not data:
        return ""
    end = _valid_end(data)
    if not end:
        return f"the head of {log.name} is cut or altered, so that its rows are lost"
    page_bytes = int.from_bytes(data[8:12], "big")
    salt = int.from_bytes(data[16:24], "big")
    lost = sum(
        at >= end and (salt ^ int.from_bytes(data[at + 8 : at + 16], "big")).bit_count() <= _FEW_BITS
        for at in _frames(data, page_bytes)
    )
    return f"{lost} frames of {log.name} are cut or altered, so that their rows are lost" if lost else ""


def _pages_in_log(path: Path) -> dict[int, bytes]:
    """The newest committed image of each page in the log, by number."""
    log = _beside(path, "-wal")
    data = log.read_bytes() if log.exists() else b""
    end = _valid_end(data)
    if not end:
        return {}
    page_bytes = int.from_bytes(data[8:12], "big")
    committed: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for at in _frames(data[:end], page_bytes):
        number, size = struct.unpack_from(">II", data, at)
        pending[number] = data[at + _FRAME_HEAD : at + _FRAME_HEAD + page_bytes]
        if size:  # the last frame of a commit
            committed |= pending
            pending = {}
    return committed
