"""The processes of a life: they are killed at random, one at a time, and each death must be counted by the
session within a minute. After the life itself was killed, none of them may stay.

Invariant: the next process is killed only after the death of the one before was counted.
"""

from __future__ import annotations

import os
import threading
import time
import tty
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from _soak_config import ISOLATED, WORLDS

from sage.app.session.build import Run

TICKS_A_WORKER = 60
#: A process that starts again on a loaded machine: a session must count a death in this time.
COUNTED_SECS = 60.0
#: After the death of a session, its processes have so long to end.
ENDED_SECS = 30.0
#: Parts of a command line, by kind of process.
KINDS = {
    "sensor": "sage.sensors.driver.isolation.worker",
    "environment": "sage.sensors.driver.environments.worker",
    "trainer": "sage.runtime.sleep.puzzles.process.worker",
    "night": "sleep",
}


@dataclass(slots=True, kw_only=True)
class Killer:
    """num_nights: how many nights have ended, of any outcome.  problems: deaths that were not counted."""

    run: Run
    chance: np.random.Generator
    counts: Counter[str]
    num_nights: Callable[[], int]
    problems: list[str] = field(default_factory=list)
    _waiting: tuple[str, int, float] | None = None

    def tick(self) -> None:
        if self._waiting is not None:
            self._look()
        elif self.chance.random() < 1 / TICKS_A_WORKER:
            self._kill()

    def _look(self) -> None:
        assert self._waiting is not None
        kind, before, since_secs = self._waiting
        if self._num_counted(kind) > before:
            self.counts[f"deaths counted: {kind} process"] += 1
            self._waiting = None
        elif time.monotonic() - since_secs > COUNTED_SECS:
            self.problems.append(f"the death of a {kind} process was not counted within {COUNTED_SECS:g} s")
            self._waiting = None

    def _kill(self) -> None:
        found = children_by_kind()
        if not found:
            return
        kind = sorted(found)[int(self.chance.integers(len(found)))]
        victim = found[kind][int(self.chance.integers(len(found[kind])))]
        before = self._num_counted(kind)
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            self.counts[f"killed: {kind} process"] += 1
            self._waiting = (kind, before, time.monotonic())

    def _num_counted(self, kind: str) -> int:
        loop = self.run.loop
        if kind == "night":
            return self.num_nights()
        if kind == "trainer":
            return sum(each.facts().num_restarts for each in learners(self.run))
        faults = {driver.spec.name: driver.statistics().num_faults for driver in loop.senses.drivers}
        wanted = ISOLATED if kind == "sensor" else WORLDS
        return sum(num for name, num in faults.items() if name.split(".")[0] in wanted)


def learners(run: Run) -> list:  # type: ignore[type-arg]
    """Of each stream of puzzles."""
    return [solver.learner for solver in run.loop.solving.solvers]


def children_by_kind() -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {}
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE:
                continue
            words = child.cmdline()
            for kind, word in KINDS.items():
                if word in words:
                    found.setdefault(kind, []).append(child)
    return found


def identities() -> list[list[float]]:
    """(pid, start time) of all processes below this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found.append([child.pid, child.create_time()])
    return found


def still_there(found: list[list[float]], *, patience_secs: float = ENDED_SECS) -> list[int]:
    """Those that have not ended in time; they are ended then."""
    living = []
    for pid, started in found:
        with suppress(psutil.Error):
            process = psutil.Process(int(pid))
            if process.create_time() == started:
                living.append(process)
    _, living = psutil.wait_procs(living, timeout=patience_secs)
    for process in living:
        with suppress(psutil.Error):
            process.kill()
    return [process.pid for process in living]


def left_in_shm(pid: int) -> list[str]:
    """Shared mailboxes that a session of this pid made."""
    return sorted(path.name for path in Path("/dev/shm").glob(f"sage.{pid}-*"))


class SerialLine:
    """An IMU on a pseudo-terminal: a thread writes its lines."""

    def __init__(self, folder: Path, rate_hz: float = 40.0) -> None:
        self._device, self._terminal = os.openpty()
        tty.setraw(self._device)
        os.set_blocking(self._device, False)
        self.path = folder / "imu"
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._terminal))
        self._period_secs = 1.0 / rate_hz
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        os.close(self._terminal)
        os.close(self._device)

    def _write(self) -> None:
        number = 0
        while not self._end.wait(self._period_secs):
            number += 1
            values = (np.sin(number / 9), 0.0, 9.8, 0.0, np.cos(number / 9), 0.0)
            with suppress(BlockingIOError):  # nobody reads
                os.write(self._device, (",".join(f"{value:.4f}" for value in values) + "\n").encode())
