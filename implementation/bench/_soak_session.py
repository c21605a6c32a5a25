"""One life of the soak: a session on a manual clock with every source and environment that needs no device,
on a state directory, with faults from a seeded plan, until it is killed or has done its ticks.

One life in four runs on the real clock: its isolated sensors, its environments, its trainer and its nights
are processes, which are killed at random. Its clock is not stepped and its disk is not full, because a
process that starts meanwhile would keep that limit. A full disk is a limit on the size of files
(RLIMIT_FSIZE): every write to a file fails meanwhile, as it does on a disk without space. Invariant: equal
seeds and lives have equal plans.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _soak_config import config_of
from _soak_processes import Killer, SerialLine, identities
from _soak_writer import report

from sage.app.audit.log import AuditLog
from sage.app.audit.reader import read_trail
from sage.app.session.build import Run, build_run
from sage.app.session.heap import map_large_blocks
from sage.app.session.leftovers import remove_leftovers
from sage.app.session.snapshot_keeper import SnapshotKeeper
from sage.app.store.metrics_store import MetricsStore
from sage.app.store.opening import repair
from sage.mailbox.clock import ManualClock, RealClock
from sage.runtime.report import Event, SleepOutcome, SleepReport, TickReport

SAMPLE_EVERY = 250
#: One life in so many runs on the real clock, with processes that are killed too.
LIVES_A_REAL = 4
CHILDREN_EVERY = 20
SNAPSHOT_SECS = 30.0
#: A fault of sources, a step of the clock, a full disk: one of each in so many ticks, on average.
TICKS_A_STEP, TICKS_A_FULL_DISK = 900, 1200
FULL_DISK_TICKS, FULL_DISK_BYTES = 12, 512
SECS_A_FAULT, LONGEST_FAULT_SECS = 12.0, 6.0
NUM_FAULTY, NUM_PLANNED = 3, 400
SOURCE_FAULTS = ("raise", "nan", "shape", "stale", "frozen", "flood", "bias", "noise")


@dataclass(slots=True, kw_only=True)
class Plan:
    """Of one life. faults: of each synthetic source, for the configuration."""

    faults: list[list[dict[str, Any]]]
    chance: np.random.Generator

    @classmethod
    def of(cls, seed: int, life: int) -> Plan:
        chance = np.random.default_rng([seed, life])
        return cls(faults=[_faults(chance) for _ in range(NUM_FAULTY)], chance=chance)

    def num_begun(self, secs: float) -> Counter[str]:
        """Faults of sources that have begun at this time of the life."""
        return Counter(
            f"source {each['fault']}" for faults in self.faults for each in faults if each["at_secs"] <= secs
        )


def _faults(chance: np.random.Generator) -> list[dict[str, Any]]:
    found, at = [], 0.0
    for _ in range(NUM_PLANNED):
        at += float(chance.exponential(SECS_A_FAULT * NUM_FAULTY)) + LONGEST_FAULT_SECS
        kind = SOURCE_FAULTS[int(chance.integers(len(SOURCE_FAULTS)))]
        secs = float(chance.uniform(0.2, LONGEST_FAULT_SECS))
        size = 20.0 if kind == "flood" else 1.0 if kind in ("nan", "shape") else 3.0
        found.append({"at_secs": at, "for_secs": secs, "fault": kind, "size": size})
    return found


class Seen:
    """An instrument that counts; it keeps no report."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.num_others = 0
        self.num_nights = 0

    def on_tick(self, tick_report: TickReport) -> None: ...

    def on_coherence(self, rows: object) -> None:
        self.num_others += 1

    def on_sleep(self, sleep_report: SleepReport) -> None:
        self.num_others += 1
        self.num_nights += sleep_report.outcome is not SleepOutcome.SKIPPED
        self.counts[f"night {sleep_report.outcome.value}"] += 1

    def on_event(self, event: Event) -> None:
        self.num_others += 1
        self.counts[f"event {event.kind}"] += 1


@dataclass(slots=True, kw_only=True)
class Life:
    """A session that is open."""

    run: Run
    clock: ManualClock | RealClock
    keeper: SnapshotKeeper
    metrics: MetricsStore
    session: str
    audit: AuditLog
    plan: Plan
    seen: Seen
    counts: Counter[str] = field(default_factory=Counter)
    num_audited: int = 0
    full_until: int = 0
    wall_offset_ns: int = 0
    killer: Killer | None = None

    def tick(self, number: int) -> None:
        chance = self.plan.chance
        if self.killer is not None:
            self.killer.tick()
        else:
            self._hurt(number, chance)
        self.run.loop.run(num_ticks=1)
        if not self.audit.note("tick", str(self.num_audited + 1)):
            self.num_audited += 1

    def _hurt(self, number: int, chance: np.random.Generator) -> None:
        if chance.random() < 1 / TICKS_A_STEP:
            self._step_clock(chance)
        if not self.full_until and chance.random() < 1 / TICKS_A_FULL_DISK:
            self._set_limit(FULL_DISK_BYTES)
            self.full_until = number + FULL_DISK_TICKS
            self.counts["full disk"] += 1
        elif self.full_until and number >= self.full_until:
            self._set_limit(resource.RLIM_INFINITY)
            self.full_until = 0

    def _step_clock(self, chance: np.random.Generator) -> None:
        """The loop's clock, which never goes back, jumps ahead, or the wall clock is set back or ahead."""
        assert isinstance(self.clock, ManualClock)
        if chance.random() < 0.5:
            self.clock.advance(int(chance.uniform(0.5, 300.0) * 1e9))
            self.counts["clock ahead"] += 1
        else:
            self.wall_offset_ns += int(chance.uniform(-3600.0, 3600.0) * 1e9)
            self.counts["wall clock set"] += 1

    def _set_limit(self, num_bytes: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))

    def facts(self, number: int) -> dict[str, Any]:
        """Of every tick: what is appended and acknowledged."""
        return {
            "tick": number,
            "memory": self.keeper.acknowledged,
            "appended": self.keeper.last_sequence,
            "audit": self.num_audited,
            "stored": self._num_ticks_stored(),
            "counts": self.num_of_each(),
        }

    def _num_ticks_stored(self) -> int:
        """At least so many: whatever was not a tick may have been written too."""
        return max(self.metrics.instrument(self.session).statistics().num_written - self.seen.num_others, 0)

    def sample(self, number: int, process: psutil.Process) -> dict[str, Any]:
        gc.collect()
        return {
            "tick": number,
            "resident_bytes": process.memory_info().rss,
            "heap_bytes": heap_bytes(),
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "counts": self.num_of_each(),
        }

    def num_of_each(self) -> dict[str, int]:
        secs = (self.clock.now_ns() - self.run.loop.epoch_ns) / 1e9
        return {**self.counts, **self.plan.num_begun(secs), **self.seen.counts}


class _MallocInfo(ctypes.Structure):
    """mallinfo2 of malloc.h, of all heaps together (mallinfo(3))."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    )  # fmt: skip


def heap_bytes() -> int | None:
    """Bytes of the C library's memory that are in use; None where it does not count them (glibc does)."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return None
    mallinfo2.restype = _MallocInfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def is_real(life: int) -> bool:
    """Whether a life is on the real clock, with processes."""
    return life % LIVES_A_REAL == 1


def live(folder: Path, out: int, seed: int, life: int, max_ticks: int) -> None:
    """Recover, report it, tick; ends cleanly after `max_ticks`. Lines of JSON go to the descriptor `out`."""
    plan, process = Plan.of(seed, life), psutil.Process()
    with ExitStack() as stack:
        open_life = _opened(folder, plan, stack, out, is_real_time=is_real(life))
        for number in range(1, max_ticks + 1):
            open_life.tick(number)
            report(out, "tick", open_life.facts(number))
            if open_life.killer is not None:
                _report_processes(open_life.killer, out, number)
            if number % SAMPLE_EVERY == 0:
                report(out, "sample", open_life.sample(number, process))
        open_life._set_limit(resource.RLIM_INFINITY)
        report(out, "sample", open_life.sample(max_ticks, process))
    report(out, "ended", {"problem": open_life.keeper.problem})


def _report_processes(killer: Killer, out: int, number: int) -> None:
    for problem in killer.problems:
        report(out, "problem", {"text": problem})
    killer.problems.clear()
    if number % CHILDREN_EVERY == 0:
        report(out, "processes", {"identities": identities()})


def _opened(folder: Path, plan: Plan, stack: ExitStack, out: int, *, is_real_time: bool) -> Life:
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers()
    map_large_blocks()  # as `sage run` does
    problems: list[str] = []
    repair(folder / "store.sqlite", problems.append)
    metrics = stack.enter_context(MetricsStore(folder / "store.sqlite"))
    audit = stack.enter_context(closing(AuditLog(folder / "audit", max_bytes=16 << 20)))
    seen = Seen()
    clock = RealClock() if is_real_time else ManualClock()
    line = SerialLine(folder) if is_real_time and find_spec("serial") else None
    if line is not None:
        stack.callback(line.close)
    config = config_of(
        plan.faults, folder.parent, has_processes=is_real_time, imu=None if line is None else line.path
    )
    run = build_run(config, clock, directory=folder / "sleep", effect_log=audit)
    stack.callback(run.close)
    life: Life | None = None

    def wall_ns() -> int:
        return time.time_ns() + (life.wall_offset_ns if life is not None else 0)

    keeper = SnapshotKeeper(
        folder / "mind",
        clock,
        journal_home=folder / "journal",
        first_secs=SNAPSHOT_SECS,
        every_secs=SNAPSHOT_SECS,
        wall_ns=wall_ns,
    )
    message = keeper.attach(run.loop)
    stack.callback(keeper.close)
    trail = read_trail(folder / "audit", last=2000)
    last = metrics.sessions()[-1:]
    problems += [*trail.problems, *map(str, folder.rglob("*.damaged"))]
    if "damaged" in message or "could not be read" in message:
        problems.append(message)
    recovered = {
        "message": message,
        "memory": keeper.last_sequence,
        "audit": max((int(row["reason"]) for row in trail.rows if row["event"] == "tick"), default=0),
        "stored": last[0].num_ticks if last else 0,
        "problems": problems,
    }
    report(out, "recovered", recovered)
    session = metrics.begin_session(name="soak", temporal=run.temporal_sources)
    run.open()
    run.loop.observe(metrics.instrument(session), keeper, seen)
    life = Life(
        run=run,
        clock=clock,
        keeper=keeper,
        metrics=metrics,
        session=session,
        audit=audit,
        plan=plan,
        seen=seen,
        num_audited=recovered["audit"],
    )
    if is_real_time:
        life.counts["lives with processes"] += 1
        life.killer = Killer(
            run=run, chance=plan.chance, counts=life.counts, num_nights=lambda: seen.num_nights
        )
    return life


def write_nothing_to_disk() -> None:
    """A write beyond the limit then raises, instead of ending the process."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
