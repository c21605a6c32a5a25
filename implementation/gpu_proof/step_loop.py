"""The whole loop on the card: a minute with practice and a night, what it copies and allocates, its tick
beside the CPU's.

What a tick may copy are the readings it attends to (up) and one readout (down), beside two of a practice step
and one of a kept experience; after the warm-up the allocator must ask the driver for no more memory. Copies
are the profiler's own count over a window of ticks.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from verdict import Absent, Verdict, step_arguments

from sage.app.config.sage_config import load_config
from sage.app.session import build
from sage.mailbox import RealClock
from sage.runtime.report import Event, SleepReport, TickReport

LOOP_SECS, CPU_SECS, WARM_SECS, PROFILED_TICKS = 60.0, 10.0, 20.0, 60
PRACTICE_COPIES = 2  # what is in the lesson, and whether its step was finite
FAKE_LOOP_SECS, FAKE_CPU_SECS, FAKE_WARM_SECS, FAKE_PROFILED_TICKS = 4.0, 2.0, 1.0, 10
SETTINGS = ("sleep.every_secs=20", "sleep.num_steps=16")


class Notes:
    """An instrument that keeps each tick's duration and every night's report."""

    def __init__(self) -> None:
        self.tick_ns: list[int] = []
        self.nights: list[SleepReport] = []
        self.num_practised = self.num_kept = 0

    def on_tick(self, report: TickReport) -> None:
        self.tick_ns.append(report.timing.total_ns)
        self.num_practised = report.facts.learning.num_practice_steps
        self.num_kept += report.facts.memory.is_kept

    def on_sleep(self, report: SleepReport) -> None:
        self.nights.append(report)

    def on_event(self, event: Event) -> None: ...


def live(
    device: torch.device, secs: float, directory: Path, notes: Notes, profiled: tuple[float, int] | None
) -> Counter[str]:
    """Run the default configuration for so long on `device`; what the profiler saw of the window in
    `profiled`.
    """
    clock = RealClock()
    build.choose_device = lambda: device
    run = build.build_run(
        load_config("default", SETTINGS, with_files=True), clock, directory=directory, instruments=[notes]
    )
    try:
        run.open()
        if profiled is None:
            run.loop.run(num_ticks=None, until_ns=clock.now_ns() + int(secs * 1e9))
            return Counter()
        end_ns = clock.now_ns() + int(secs * 1e9)
        run.loop.run(num_ticks=None, until_ns=clock.now_ns() + int(profiled[0] * 1e9))
        segments, before = allocated_segments(device), (notes.num_practised, notes.num_kept)
        counts = count_copies(lambda: run.loop.run(num_ticks=profiled[1], until_ns=end_ns))
        counts["practice steps"], counts["kept"] = notes.num_practised - before[0], notes.num_kept - before[1]
        run.loop.run(num_ticks=None, until_ns=end_ns)
        counts["cudaMalloc after warm-up"] = allocated_segments(device) - segments
        return counts
    finally:
        run.close()


def count_copies(work: Any) -> Counter[str]:
    """Of each kind of copy and of driver allocations, by the profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        work()
    names = (event.name for event in profile.events())
    return Counter(name.split(" (")[0] for name in names if name.startswith(("Memcpy", "cudaMalloc")))


def allocated_segments(device: torch.device) -> int:
    return int(torch.cuda.memory_stats(device)["segment.all.allocated"]) if device.type == "cuda" else 0


def main() -> None:
    arguments, verdict = step_arguments(__doc__), Verdict()
    is_fake = arguments.fake
    secs, cpu_secs = (FAKE_LOOP_SECS, FAKE_CPU_SECS) if is_fake else (LOOP_SECS, CPU_SECS)
    window = (FAKE_WARM_SECS, FAKE_PROFILED_TICKS) if is_fake else (WARM_SECS, PROFILED_TICKS)
    notes, counts = Notes(), Counter[str]()

    def lives() -> None:
        nonlocal counts
        if not is_fake and not torch.cuda.is_available():
            raise Absent("torch has no CUDA here")
        device = torch.device("cpu" if is_fake else "cuda")
        started = time.monotonic()
        counts = live(device, secs, arguments.out / "card", notes, window)
        beside = Notes()
        live(torch.device("cpu"), cpu_secs, arguments.out / "cpu", beside, None)
        verdict.facts.update(
            secs=time.monotonic() - started,
            num_ticks=len(notes.tick_ns),
            num_practised=notes.num_practised,
            nights=[f"{night.outcome.value}: {night.reason}" for night in notes.nights],
            tick_p50_ms=statistics.median(notes.tick_ns) / 1e6,
            cpu_tick_p50_ms=statistics.median(beside.tick_ns) / 1e6,
            copies_a_tick={
                name: count / window[1] for name, count in counts.items() if name.startswith("Memcpy")
            },
            in_window={name: counts[name] for name in ("practice steps", "kept")},
        )
        assert len(notes.tick_ns) > window[1], "too few ticks"

    def allocates_nothing() -> None:
        if is_fake:
            raise Absent("no card: nothing to allocate there")
        assert counts["cudaMalloc after warm-up"] == 0, (
            f"{counts['cudaMalloc after warm-up']} more segments after the warm-up"
        )
        assert counts["cudaMalloc"] == 0, f"{counts['cudaMalloc']} allocations in {window[1]} ticks"

    def reads_once() -> None:
        if is_fake:
            raise Absent("no card: nothing is copied")
        down, steps, kept = counts["Memcpy DtoH"], counts["practice steps"], counts["kept"]
        allowed = window[1] + PRACTICE_COPIES * (steps + 1) + kept  # a step may have begun before the window
        assert down <= allowed, (
            f"{down} copies down in {window[1]} ticks with {steps} practice steps and {kept} kept"
        )

    def sleeps() -> None:
        if is_fake:
            raise Absent("seconds are too short for a night")
        assert notes.num_practised > 0, "it never practised"
        assert notes.nights, "no night ended"

    def sleeps_on_the_card() -> None:
        """The night that the loop prepared last, again, with its model and its training on the card."""
        nights = sorted((arguments.out / "card").rglob("job.json"))
        if not nights:
            raise Absent("seconds are too short for a night" if is_fake else "no night was prepared")
        device = "cpu" if is_fake else "cuda"
        command = [
            sys.executable,
            "-m",
            "sage",
            "sleep",
            str(nights[-1].parent),
            "--device",
            device,
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-300:]
        verdict.facts["night_on_the_card"] = json.loads(done.stdout)["reason"]

    if verdict.run("the loop lives on the card", lives):
        verdict.run("no driver allocation after the warm-up", allocates_nothing)
        verdict.run("one readout a tick, two a practice step, one a kept experience", reads_once)
        verdict.run("it practised and slept", sleeps)
        verdict.run("a night on the card", sleeps_on_the_card)
    verdict.finish()


if __name__ == "__main__":
    main()
