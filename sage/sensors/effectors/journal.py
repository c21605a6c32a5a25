"""An effector that appends each action to a file, as one line of JSON.

Invariant: a line is whole or not there; the file and the one before it, FILE.1, are never larger than
max_bytes together. An action that cannot be written is a fault, and the file stays as it was.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sage.sensors.contract import Action, SensorContext, SensorError, SensorUnavailable
from sage.sensors.effectors.vector import VectorConfig, VectorEffector

#: Between two fsyncs of `sync: second`.
SYNC_NS = 1_000_000_000


class JournalConfig(VectorConfig):
    """path: the file; what is in it stays.  max_bytes: of it and the one before; the older half is deleted.

    sync: when a line is on the disk, and not only with the operating system: always (before `apply` returns),
    second (within a second of the next action, so that a power cut loses at most that), or never (the system
    decides). A kill -9 loses no line with any of them.
    """

    kind: Literal["journal"] = "journal"
    effect: str = Field("journal", min_length=1)
    timeout_secs: float = Field(1.0, gt=0)
    path: Path
    max_bytes: int = Field(64 << 20, ge=1 << 10)
    sync: Literal["always", "second", "never"] = "second"


class JournalEffector(VectorEffector):
    """A line has stamp_ns (the run's clock), wall_ns, requested, done, is_held, is_limited."""

    Config = JournalConfig

    def __init__(self, config: JournalConfig, context: SensorContext) -> None:
        super().__init__(config, context)
        self._config = config
        self._path = context.base_dir / config.path.expanduser()
        self._clock = context.clock
        self._file = -1
        self._num_bytes = 0
        self._synced_ns = 0

    def open(self) -> None:
        """SensorUnavailable where the file cannot be written. A torn line at its end is cut off."""
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                self._num_bytes = self._cut_torn_line()
            except OSError as error:
                self._close_file()
                raise SensorUnavailable(
                    f"{self._spec.name}: {self._path}: {(error.strerror or str(error)).lower()}: give a path"
                    " that can be written"
                ) from error
        super().open()

    def close(self) -> None:
        super().close()
        try:
            if self._file >= 0 and self._config.sync != "never":
                os.fsync(self._file)
        finally:
            self._close_file()

    def _do(self, requested: np.ndarray, action: Action) -> None:
        line = json.dumps(
            {
                "stamp_ns": action.stamp_ns,
                "wall_ns": time.time_ns(),
                "requested": _plain(requested),
                "done": action.values.tolist(),
                "is_held": action.is_held,
                "is_limited": action.is_limited,
            },
            allow_nan=False,
        )
        try:
            self._append(f"{line}\n".encode())
        except OSError as error:
            raise SensorError(
                f"{self._spec.name}: {self._path}: {error.strerror}: the action is not written"
            ) from error

    def _append(self, data: bytes) -> None:
        if self._num_bytes and self._num_bytes + len(data) > self._config.max_bytes // 2:
            self._begin_file()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self._num_bytes)
            raise
        self._num_bytes += len(data)
        now_ns = self._clock.now_ns()
        is_due = self._config.sync == "second" and now_ns - self._synced_ns >= SYNC_NS
        if is_due or self._config.sync == "always":
            os.fsync(self._file)
            self._synced_ns = now_ns

    def _begin_file(self) -> None:
        kept = self._path.with_name(f"{self._path.name}.1")
        self._path.replace(kept)
        before = self._file
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:
            kept.replace(self._path)  # the next action begins the file
            raise
        self._num_bytes = 0
        os.close(before)

    def _cut_torn_line(self) -> int:
        """The size, without what follows the last line's end."""
        size = end = os.fstat(self._file).st_size
        whole = 0
        while end and not whole:
            start = max(0, end - 65_536)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            whole, end = (start + found + 1 if found >= 0 else 0), start
        if whole < size:
            os.ftruncate(self._file, whole)
        return whole

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _plain(values: np.ndarray) -> Any:
    """Nested lists, with null for what is not finite."""
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
