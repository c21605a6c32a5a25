"""The newest readings of chosen sources, for a sensor that sends them elsewhere, for example to a policy.

The loop puts readings in, on its thread; sensors that derive their own from them read on theirs. Invariant:
only sources that are watched are copied, and what was returned does not change afterwards.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatestReading:
    """values: read-only.  captured_ns: when the device measured it, on the run's clock."""

    values: np.ndarray
    captured_ns: int


class LatestReadings:
    """Of one run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: dict[str, deque[LatestReading]] = {}
        self._watchers: dict[str, str] = {}

    @property
    def watchers(self) -> dict[str, str]:
        """The name of a sensor that watches it, by source."""
        with self._lock:
            return dict(self._watchers)

    @property
    def watched(self) -> tuple[str, ...]:
        """The sources that are."""
        return tuple(self._readings)

    def watch(self, source: str, watcher: str, num: int = 1) -> None:
        """Keep the `num` newest readings of a source from now on. InputError for less than one."""
        if num < 1:
            raise InputError(f"{watcher}: {num} readings of {source}: give 1 or more")
        with self._lock:
            found = self._readings.get(source, deque())
            self._readings[source] = deque(found, maxlen=max(num, found.maxlen or 1))
            self._watchers.setdefault(source, watcher)

    def put(self, source: str, values: np.ndarray, captured_ns: int) -> None:
        """Copy a reading of a source that is watched."""
        if source not in self._readings:
            return
        copy = np.array(values)
        copy.flags.writeable = False
        with self._lock:
            self._readings[source].append(LatestReading(values=copy, captured_ns=captured_ns))

    def of(self, source: str) -> tuple[LatestReading, ...]:
        """Oldest first; empty before the first reading, and for a source that is not watched."""
        with self._lock:
            return tuple(self._readings.get(source, ()))
