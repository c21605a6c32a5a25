"""The audit log of a state directory: what effectors were asked, allowed and did.

Lines of JSON with a hash chain, because appending is all that ever happens to them: a row costs one write,
a file is readable while a run writes it, and a change of an earlier row shows. Invariant: when `decided`
returns "", its rows are with the operating system: a kill -9 loses none of them, a power cut at most those of
the last second. What cannot be written leaves the log as it was. Outcomes wait for the next write: a kill -9
loses those of one tick.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from sage.app.audit.reader import SUFFIX, Tail, read_tail, segments
from sage.app.audit.rows import FIRST_HASH, decision_row, outcome_row, to_line
from sage.runtime.tick.effects import EffectDecision, EffectOutcome

log = structlog.get_logger("sage.app")
SEGMENT_BYTES = 8 << 20
SYNC_SECS = 1.0
#: Outcomes that wait for a disk with space; beyond it the oldest are lost, and counted in the next row.
MAX_WAITING = 4096


class AuditLog:
    """An EffectLog. Nothing is created before the first row. Safe from any thread.

    max_bytes: of all files; beyond it the oldest file is deleted.
    """

    def __init__(
        self,
        home: Path,
        *,
        max_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._home = home
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 4))
        self._wall_ns = wall_ns
        self._lock = threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        self._num_lost = 0
        self._file = -1
        self._segment = 0
        self._tail = Tail(number=0, digest=FIRST_HASH, num_bytes=0)
        self._is_dirty = False
        self._problem = ""
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None

    def decided(self, decisions: Sequence[EffectDecision]) -> str:
        return self._write([decision_row(decision) for decision in decisions])

    def ended(self, outcome: EffectOutcome) -> None:
        row = outcome_row(outcome)
        row["wall_ns"] = self._wall_ns()
        with self._lock:
            self._waiting.append(row)
            if len(self._waiting) > MAX_WAITING:
                del self._waiting[0]
                self._num_lost += 1

    def note(self, event: str, reason: str) -> str:
        """A row on all effectors: a stop, an arming, the start of a run. Returns as `decided`."""
        return self._write([{"event": event, "reason": reason}])

    def close(self) -> None:
        """Write what waits. Where the run had no effector, nothing was created."""
        self._closing.set()
        if self._syncer is not None:
            self._syncer.join()
        with self._lock:
            has_waiting = bool(self._waiting)
        if has_waiting:
            self._write([])
        with self._lock:
            if self._file >= 0:
                self._sync()
                os.close(self._file)
                self._file = -1

    def _write(self, rows: list[dict[str, Any]]) -> str:
        """Append what waits, then `rows`, all or nothing."""
        wall_ns = self._wall_ns()
        with self._lock:
            lost = [{"event": "lost", "reason": f"{self._num_lost} outcomes"}] if self._num_lost else []
            try:
                if self._file < 0 or self._tail.num_bytes >= self._segment_bytes:
                    self._begin_segment()
                tail, data = self._encoded([*self._waiting, *lost, *rows], wall_ns)
                self._append(data)
            except OSError as error:
                self._problem = error.strerror or str(error)
                return self._problem
            self._tail = tail
            self._waiting.clear()
            self._num_lost = 0
            self._problem = ""
            self._is_dirty = True
        return ""

    def _encoded(self, rows: list[dict[str, Any]], wall_ns: int) -> tuple[Tail, bytes]:
        number, digest = self._tail.number, self._tail.digest
        lines = []
        is_first = self._tail.num_bytes == 0
        for row in rows:
            number += 1
            numbered = {"n": number, "wall_ns": wall_ns, **({"previous": digest} if is_first else {}), **row}
            line, digest = to_line(numbered, digest)
            lines.append(line)
            is_first = False
        data = "".join(f"{line}\n" for line in lines).encode()
        return Tail(number=number, digest=digest, num_bytes=self._tail.num_bytes + len(data)), data

    def _append(self, data: bytes) -> None:
        """All of it, or the file stays as it was."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self._tail.num_bytes)
            raise

    def _begin_segment(self) -> None:
        """The first file of this run continues the last one; a torn line at its end is cut off."""
        if self._file >= 0:
            self._sync()
            os.close(self._file)
            self._file = -1
            self._segment += 1
        else:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment = self._continued()
        path = self._home / f"{self._segment:08}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        intact = self._tail.num_bytes if size else 0
        if size > intact:
            os.ftruncate(self._file, intact)
            log.warning("audit log: a torn row was cut off", file=str(path), num_bytes=size - intact)
        self._tail = Tail(number=self._tail.number, digest=self._tail.digest, num_bytes=intact)
        self._keep_budget()
        if self._syncer is None:
            self._syncer = threading.Thread(target=self._sync_regularly, name="sage-audit", daemon=True)
            self._syncer.start()

    def _continued(self) -> int:
        """The number of the file to continue: the last one, or a new one where it has no intact row."""
        found = segments(self._home)
        if not found:
            return 1
        number = int(found[-1].stem)
        self._tail = read_tail(found[-1])
        if self._tail.number:
            return number
        for path in reversed(found[:-1]):
            tail = read_tail(path)
            if tail.number:
                self._tail = Tail(number=tail.number, digest=tail.digest, num_bytes=0)
                break
        return number + 1

    def _keep_budget(self) -> None:
        paths = segments(self._home)
        total = sum(path.stat().st_size for path in paths)
        for path in paths[:-1]:
            if total <= self._max_bytes - self._segment_bytes:
                return
            total -= path.stat().st_size
            path.unlink()

    def _sync_regularly(self) -> None:
        while not self._closing.wait(SYNC_SECS):
            with self._lock:
                file = os.dup(self._file) if self._is_dirty and self._file >= 0 else -1
                self._is_dirty = False
            if file >= 0:
                _synced(file)
                os.close(file)

    def _sync(self) -> None:
        if self._is_dirty:
            _synced(self._file)
        self._is_dirty = False


def _synced(file: int) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        log.error("audit log: not on the disk yet", error=error.strerror)
