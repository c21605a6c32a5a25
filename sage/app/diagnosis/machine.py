"""Figures of the machine that symptoms are derived from: waiting for a core, room on the state disk, the
store.

Invariant: nothing here raises; a figure that this system does not have shows no symptom.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

#: Room on the state disk below which it counts as full.
LEAST_BYTES = 16 << 20


class Machine(Protocol):
    """What a SymptomMeter asks once a sample, on the loop's thread."""

    def wait_share(self) -> float:
        """Share of the time since the last call that the loop's thread waited for a core, 0..1."""
        ...

    def has_room(self) -> bool: ...

    def store_problem(self) -> str:
        """Why the store's last write failed, "" where it did not."""
        ...


class SimulatedMachine:
    """Of a run on a simulated clock, whose results depend on no figure of this machine."""

    def wait_share(self) -> float:
        return 0.0

    def has_room(self) -> bool:
        return True

    def store_problem(self) -> str:
        return ""


class HostMachine:
    """This machine. store_problem: of the session's store."""

    def __init__(
        self,
        state_dir: Path,
        store_problem: Callable[[], str],
        *,
        real_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._state_dir = state_dir
        self._store_problem = store_problem
        self._real_ns = real_ns
        self._last: tuple[int, int] | None = None

    def wait_share(self) -> float:
        """By the scheduler's own count (Linux); 0 elsewhere, and in the first call."""
        waited_ns, now_ns = _waited_ns(), self._real_ns()
        last, self._last = self._last, (waited_ns, now_ns)
        if last is None or now_ns <= last[1]:
            return 0.0
        return min(1.0, (waited_ns - last[0]) / (now_ns - last[1]))

    def has_room(self) -> bool:
        try:
            figures = os.statvfs(self._state_dir)
        except OSError:
            return True
        return figures.f_bavail * figures.f_frsize >= LEAST_BYTES

    def store_problem(self) -> str:
        return self._store_problem()


def _waited_ns() -> int:
    """Time that this thread was ready to run and did not (Linux, kernel's Documentation/scheduler/
    sched-stats)."""
    if sys.platform != "linux":
        return 0
    try:
        text = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text(encoding="ascii")
        return int(text.split()[1])
    except (OSError, ValueError, IndexError):
        return 0
