"""Forked workers that are killed and stopped on purpose, and a board in shared memory on which they say how
far they are.

Invariant: a worker ends by its own return, by our kill, or as a failure whose traceback the coordinator
raises.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

MAX_INCARNATIONS = 1 << 14


class Wrong(AssertionError):
    """What must not happen did."""


class Board:
    """int64 words in a file that all workers map. Each word has one writer."""

    RUNNING, PRODUCERS_END, ALL_END = range(3)
    _FIRST = 64

    def __init__(self, path: Path) -> None:
        self._words = np.memmap(path, np.int64, "w+", shape=(self._FIRST + 2 * MAX_INCARNATIONS,))
        self.num_incarnations = 0  # the coordinator's count

    @property
    def phase(self) -> int:
        return int(self._words[0])

    @phase.setter
    def phase(self, value: int) -> None:
        self._words[0] = value

    def next_incarnation(self) -> int:
        """A number no producer had before."""
        self.num_incarnations += 1
        if self.num_incarnations > MAX_INCARNATIONS:
            raise Wrong(f"more than {MAX_INCARNATIONS} producers: give fewer faults a message")
        return self.num_incarnations - 1

    def intend(self, incarnation: int, sequence: int) -> None:
        self._words[self._FIRST + 2 * incarnation] = sequence

    def acknowledge(self, incarnation: int, sequence: int) -> None:
        self._words[self._FIRST + 2 * incarnation + 1] = sequence

    def intended(self, incarnation: int) -> int:
        return int(self._words[self._FIRST + 2 * incarnation])

    def acknowledged(self, incarnation: int) -> int:
        return int(self._words[self._FIRST + 2 * incarnation + 1])

    def num_acknowledged(self) -> int:
        return int(self._words[self._FIRST + 1 :: 2].sum())

    def stamp(self, index: int) -> None:
        """Write the time (CLOCK_MONOTONIC, ns) at `index`, 0 to 31: that far has somebody come."""
        self._words[1 + index] = time.monotonic_ns()

    def clear_stamps(self) -> None:
        self._words[1:33] = 0

    def stamped(self, index: int) -> int:
        """The time written there, 0 before."""
        return int(self._words[1 + index])


class Crowd:
    """Workers by role. Only a process without threads may have one: they are forked."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._pids = folder, dict[str, int]()

    def roles(self) -> list[str]:
        return list(self._pids)

    def start(self, role: str, work: Callable[[], None]) -> None:
        pid = os.fork()
        if pid == 0:
            self._live(role, work)
        self._pids[role] = pid

    def kill(self, role: str) -> None:
        pid = self._pids.pop(role)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def stop_for(self, role: str, secs: float) -> None:
        os.kill(self._pids[role], signal.SIGSTOP)
        time.sleep(secs)
        os.kill(self._pids[role], signal.SIGCONT)

    def raise_what_failed(self) -> None:
        """Wrong, with the traceback, where a worker ended other than by returning."""
        for role, pid in list(self._pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self._pids[role]
                if status:
                    raise Wrong(self._reason(role, pid, status))

    def wait_for_stamp(self, board: Board, index: int, what: str, timeout_secs: float) -> int:
        """The time that a worker writes at `index`; Wrong when none comes so far, or one fails meanwhile."""
        deadline = time.monotonic() + timeout_secs
        while not (stamped := board.stamped(index)):
            self.raise_what_failed()
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {timeout_secs:g} s")
            time.sleep(0.0005)
        return stamped

    def join(self, prefix: str, timeout_secs: float) -> None:
        """Until all workers of these roles have returned; Wrong for one that failed or does not end."""
        deadline = time.monotonic() + timeout_secs
        for role in [role for role in self._pids if role.startswith(prefix)]:
            pid = self._pids[role]
            while not (found := os.waitpid(pid, os.WNOHANG))[0]:
                if time.monotonic() > deadline:
                    raise Wrong(f"{role} did not end within {timeout_secs:g} s")
                time.sleep(0.001)
            del self._pids[role]
            if found[1]:
                raise Wrong(self._reason(role, pid, found[1]))

    def end(self) -> None:
        """Kill whoever is left."""
        for role in self.roles():
            self.kill(role)

    def _live(self, role: str, work: Callable[[], None]) -> None:
        """The worker's whole life: no cleanup that belongs to the coordinator runs in it."""
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            (self._folder / f"failed-{os.getpid()}").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def _reason(self, role: str, pid: int, status: int) -> str:
        path = self._folder / f"failed-{pid}"
        report = path.read_text() if path.exists() else f"wait status {status}"
        return f"{role} (pid {pid}) ended by itself:\n{report}"
