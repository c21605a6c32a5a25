"""Reading of an audit log, also while a run writes it.

Invariant: every intact row is returned, in order; what is not one is counted, with its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.app.audit.rows import FIRST_HASH, follows, from_line

SUFFIX = ".jsonl"
#: Of the end of a file, in which its last intact row is looked for.
TAIL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTrail:
    """rows: the last ones that were asked for, oldest first.  num_rows: intact ones in the log.

    problems: "FILE:LINE: what is wrong", for lines that are damaged, missing or moved.
    """

    rows: tuple[dict[str, Any], ...]
    num_rows: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Where a log ends. num_bytes: of its last file up to the end of the last complete line."""

    number: int
    digest: str
    num_bytes: int


def segments(home: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(path for path in home.glob(f"*{SUFFIX}") if path.stem.isdigit())


def read_trail(home: Path, *, last: int | None = None, effector: str | None = None) -> AuditTrail:
    """The rows of a log. last: how many; null: all.  effector: rows of this one alone."""
    kept: deque[dict[str, Any]] = deque(maxlen=last)
    problems: list[str] = []
    num_rows = 0
    for row, problem in _checked(home):
        if problem:
            problems.append(problem)
        if row is not None:
            num_rows += 1
            if effector is None or row.get("effector") == effector:
                kept.append(row)
    return AuditTrail(rows=tuple(kept), num_rows=num_rows, problems=tuple(problems))


def read_tail(path: Path) -> Tail:
    """Of one file; the number is 0 where its last part has no intact row."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES))
        data = file.read()
    end = data.rfind(b"\n") + 1
    num_bytes = size - len(data) + end
    for raw in reversed(data[:end].split(b"\n")[:-1]):
        try:
            row, digest, _ = from_line(raw.decode())
        except (ValueError, UnicodeDecodeError):
            continue
        return Tail(number=row["n"], digest=digest, num_bytes=num_bytes)
    return Tail(number=0, digest=FIRST_HASH, num_bytes=num_bytes)


def _checked(home: Path) -> Iterator[tuple[dict[str, Any] | None, str]]:
    """Every row with the problem of its place, and None where a line is not a row."""
    previous = ""
    for path in segments(home):
        try:
            text = path.read_bytes()
        except FileNotFoundError:  # removed by the run meanwhile, as the oldest
            continue
        *lines, rest = text.split(b"\n")
        if rest:
            yield None, f"{path.name}:{len(lines) + 1}: the last row is cut, or its end is altered"
        for index, raw in enumerate(lines, 1):
            place = f"{path.name}:{index}"
            try:
                row, digest, payload = from_line(raw.decode())
            except (ValueError, UnicodeDecodeError):
                yield None, f"{place}: damaged"
                continue
            # The oldest file left does not have the hash before it; its first row has.
            before = previous or row.get("previous", FIRST_HASH)
            is_next = follows(payload, digest, before)
            previous = digest
            yield row, "" if is_next else f"{place}: it does not follow the row before"
