"""A life at 20 Hz whose trainer's process is ended by kill -9 again and again.

Phases with kills and phases without alternate, so that their ticks meet the same load of the machine. A kill
is soon after the start, in a night, while the weights are written, or while the process holds a loan or a
lease; the process is stopped for a moment to see which (SIGSTOP), and continued if it is not. Where no such
moment is found for some seconds, the kill is at a random time. What the disk holds at a kill is copied, and
read after the life.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from sage.app.config.sage_config import SageConfig, build_config
from sage.app.config.yaml_file import YamlDocument
from sage.app.session.build import Run, build_run
from sage.errors import SageError
from sage.mailbox.clock import RealClock
from sage.mailbox.meta import LOANED
from sage.mailbox.shared.focus.control import bit_of
from sage.mailbox.shared.focus.layout import BORROWED
from sage.mailbox.shared.memory.identity import identity_of, pid_of
from sage.runtime.report import Event, SleepReport, State, TickReport
from sage.runtime.sleep.puzzles.process import learner as process_learner
from sage.runtime.sleep.puzzles.process.board import RUNNING
from sage.runtime.sleep.puzzles.process.learner import ProcessLearner
from sage.runtime.sleep.puzzles.store import MEMORY, WEIGHTS, load_weights, restore_memory

KINDS = ("start", "night", "write", "start", "loan")
#: Stops of the process in one pause between two ticks, to find it writing or holding a loan.
TRIES_A_TICK = 12
#: A kill that found no such moment in so many CPU seconds of the process is one at a random time.
PATIENCE_CPU_SECS = 4.0
#: Delay of a restart in this bench: 100 kills at the delays of a run, which double up to 30 s, take an hour.
DELAY_SECS = 0.1
RATE_HZ = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """num_kills: of the life.  kills_a_phase: before a phase without kills.  least_calm_ticks: of the phases
    without kills together.  max_secs: the life ends then, with fewer kills.
    """

    num_kills: int = 100
    kills_a_phase: int = 10
    least_calm_ticks: int = 1000
    max_secs: float = 840.0


QUICK = Scale(num_kills=4, kills_a_phase=2, least_calm_ticks=60, max_secs=40.0)


@dataclass(slots=True)
class Life:
    """What the life did. ticks: (milliseconds of a tick, milliseconds that it began late, in a phase with
    kills).  lost: acknowledged experiences that were not on the disk at a kill.
    """

    kills: Counter[str] = field(default_factory=Counter)
    ticks: list[tuple[float, float, bool]] = field(default_factory=list)
    nights: Counter[str] = field(default_factory=Counter)
    experiences: int = 0
    unsent: int = 0
    acknowledged: int = 0
    on_disk: int = 0
    lost: int = 0
    checked: int = 0
    damaged: list[str] = field(default_factory=list)
    restarts: int = 0
    steps: int = 0
    bytes_copied: int = 0
    processes_left: int = 0
    shared_left: int = 0
    files_left: int = 0
    secs: float = 0.0

    def percentile(self, share: float, *, killed: bool, late: bool = False) -> float:
        found = [each[late] for each in self.ticks if each[2] == killed]
        return float(np.percentile(found, share)) if found else float("nan")


class Killer:
    """An instrument that kills the trainer between two ticks. It is called after a tick was timed."""

    def __init__(self, run: Run, folder: Path, copies: Path, scale: Scale, life: Life, seed: int) -> None:
        self._run = run
        self._folder = folder
        self._copies = copies
        self._scale = scale
        self._life = life
        self._chance = random.Random(seed)
        self._learner = _learner_of(run)
        self._started = time.monotonic()
        self._last_begin = 0.0
        self._num_calm = 0
        self._is_calm = True
        num_phases = 1 + scale.num_kills // scale.kills_a_phase
        self._calm_until = 2 + scale.least_calm_ticks // num_phases  # the first tick of a life is not timed
        self._calm_ticks = self._calm_until
        self._kind = "start"
        self._due, self._patience_ends = 0.0, math.inf
        self._pid = 0
        self.pids: set[int] = set()
        self.acknowledged_at: list[int] = []

    def on_sleep(self, report: SleepReport) -> None:
        if report.stream:
            self._life.nights[report.outcome.value] += 1

    def on_event(self, event: Event) -> None: ...

    def on_tick(self, report: TickReport) -> None:
        now = time.monotonic()
        total_secs = report.timing.total_ns * 1e-9
        begin = now - total_secs
        if self._last_begin and report.facts.state is not State.CRISIS:
            late = begin - self._last_begin - 1 / RATE_HZ
            self._life.ticks.append((1e3 * total_secs, 1e3 * max(late, 0.0), not self._is_calm))
        self._last_begin = begin
        if now - self._started > self._scale.max_secs:
            self._run.loop.stop("time")
        elif self._is_calm:
            self._num_calm += 1
            if self._num_calm >= self._calm_until:
                self._begin_kills()
        else:
            self._kill_if_due(now)

    def _begin_kills(self) -> None:
        if self._life.kills.total() >= self._scale.num_kills:
            self._run.loop.stop("done")
        self._is_calm = False
        self._pid = 0

    def _kill_if_due(self, now: float) -> None:
        pid = self._learner.pid
        if pid is None:
            return
        if pid != self._pid:  # a new process: choose its end
            self._pid = pid
            self.pids.add(pid)
            self._kind = KINDS[self._life.kills.total() % len(KINDS)]
            self._due = now + self._chance.uniform(0, 2 if self._kind == "start" else 0.3)
            self._patience_ends = math.inf
        if now < self._due:
            return
        kind = self._moment(pid)
        if kind:
            self._kill(pid, kind)

    def _moment(self, pid: int) -> str:
        """The kind of kill for which this is a moment, "" for none. Of "write" and "loan" the process is
        stopped.
        """
        board = self._learner._board
        if self._kind == "start":
            return self._kind
        if board.state != RUNNING:
            return ""
        if math.isinf(self._patience_ends):
            self._patience_ends = _cpu_secs(pid) + PATIENCE_CPU_SECS
        if self._kind == "night":
            if board.night_under_way and self._chance.random() < 0.2:
                return self._kind
        else:
            is_there = self._is_writing if self._kind == "write" else self._holds
            for _ in range(TRIES_A_TICK):
                os.kill(pid, signal.SIGSTOP)
                if is_there(pid):
                    return self._kind
                os.kill(pid, signal.SIGCONT)
                time.sleep(self._chance.uniform(0, 1e-3))
        return "random" if _cpu_secs(pid) > self._patience_ends else ""

    def _is_writing(self, pid: int) -> bool:
        return any(self._folder.glob(f".*.{pid}.partial"))

    def _holds(self, pid: int) -> bool:
        """Whether a participant of that process has an open loan or lease."""
        boxes = (self._learner._offers, self._learner._experiences)
        return any(holds(box, pid) for box in boxes)

    def _kill(self, pid: int, kind: str) -> None:
        acknowledged = self._learner.acknowledged
        os.kill(pid, signal.SIGKILL)
        process = self._learner._process
        assert process is not None
        process.wait()
        self._life.kills[kind] += 1
        secs = time.monotonic() - self._started
        print(f"{secs:.0f} s: kill {self._life.kills.total()}: {kind}", file=sys.stderr, flush=True)
        self.acknowledged_at.append(acknowledged)
        shutil.copytree(self._folder, self._copies / str(len(self.acknowledged_at)))
        if self._life.kills.total() % self._scale.kills_a_phase == 0:
            self._is_calm = True
            self._calm_until = self._num_calm + self._calm_ticks


def holds(box: Any, pid: int) -> bool:
    """Whether the process has an open loan or lease of this SharedFocus."""
    control = box._control
    identities = control.participants.identities()
    own = [index for index, identity in identities.items() if pid_of(identity) == pid]
    for place in control.places():
        word, borrowed = control.words[place], control.words[place + BORROWED]
        for index in own:
            if word & 0xFFFF == index << 8 | LOANED or borrowed & bit_of(index):
                return True
    return False


def _learner_of(run: Run) -> ProcessLearner:
    (solver,) = run.loop.solving.solvers
    assert isinstance(solver.learner, ProcessLearner)
    return solver.learner


def live(folder: Path, scale: Scale, *, seed: int = 0) -> Life:
    """One life in `folder`, which must exist; what is left after it is counted in the result."""
    life = Life()
    process_learner.FIRST_DELAY_SECS = process_learner.LONGEST_DELAY_SECS = DELAY_SECS
    shared = set(os.listdir("/dev/shm"))
    run = build_run(_config(seed), RealClock(), directory=folder / "sleep")
    learner = _learner_of(run)
    killer = Killer(run, learner._folder, folder / "copies", scale, life, seed)
    started = time.monotonic()
    try:
        run.open()
        run.loop.observe(killer)
        run.loop.run()
        _until_acknowledged(learner)
        facts = learner.facts()
        life.experiences, life.unsent = facts.num_experiences, facts.num_lost
        life.restarts, life.steps, life.bytes_copied = facts.num_restarts, facts.num_steps, facts.bytes_copied
        life.acknowledged = learner.acknowledged
        if learner.pid is not None:
            killer.pids.add(learner.pid)
    finally:
        run.close()
    life.secs = time.monotonic() - started
    life.processes_left = sum(_is_running(pid) for pid in killer.pids)
    life.shared_left = len(set(os.listdir("/dev/shm")) - shared)
    life.files_left = len(list(learner._folder.glob(".*.partial")))
    life.on_disk = _on_disk(learner, learner._folder, life)
    for number, acknowledged in enumerate(killer.acknowledged_at, start=1):
        found = _on_disk(learner, folder / "copies" / str(number), life)
        life.lost += max(0, acknowledged - found)
        life.checked += 1
    return life


def _until_acknowledged(learner: ProcessLearner) -> None:
    """Let the last process write what it was sent; a minute at most."""
    end = time.monotonic() + 60
    while learner.acknowledged < learner.facts().num_experiences and time.monotonic() < end:
        learner.work(0)
        learner.collect()
        time.sleep(0.02)


def _on_disk(learner: ProcessLearner, folder: Path, life: Life) -> int:
    """Experiences in a folder, each counted once; weights or a memory that cannot be read are noted."""
    trainer = learner._setup.build()
    try:
        weights, _ = load_weights(folder / WEIGHTS)
        if set(weights) != set(trainer.weights()) or not all(
            bool(each.isfinite().all()) for each in weights.values()
        ):
            life.damaged.append(f"{folder.name}: weights")
    except SageError as error:
        life.damaged.append(f"{folder.name}: {error}".replace(str(folder), ""))
    had_memory = (folder / MEMORY).exists()
    noted = restore_memory(folder, trainer, run=learner._run).noted
    if had_memory and not (folder / MEMORY).exists():
        life.damaged.append(f"{folder.name}: memory")
    return min(noted, trainer.memory.num_noted)


def _cpu_secs(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _is_running(pid: int) -> bool:
    return identity_of(pid) is not None and "sleep.puzzles.process" in _command(pid)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _config(seed: int) -> SageConfig:
    """A sensor, a stream of 4x4 sudokus, nights of its model every few seconds, and none of the observation
    model.
    """
    data = {
        "seed": seed,
        "tick": {"rate_hz": RATE_HZ, "rest_rate_hz": RATE_HZ, "dream_rate_hz": RATE_HZ},
        "sensors": [{"kind": "synthetic", "name": "signal"}],
        "environments": [
            {"kind": "puzzles", "name": "riddles", "task": "sudoku", "options": {"size": 4}, "rate_hz": 10}
        ],
        "policy": {
            "rules": [{"decision": "allow", "effect": "cognitive", "states": ["wake", "rest", "dream"]}]
        },
        "sleep": {"first_after_secs": 4, "every_secs": 4, "min_examined": 1_000_000},
        "solver_training": {
            "offer_secs": 0.2,
            "min_puzzles": 16,
            "min_examined": 4,
            "num_asked": 16,
            "night_steps": 20,
        },
    }
    return build_config(YamlDocument(data=data, source="kills"))
