"""Recordings of `sage bench whole`: the whole loop lives through flight and xio, and is scored on the last
quarter, each reading of a sensor predicted before it is learned.

A reading's squared error counts by its horizon, so that a source that is rarely read is not scored on easy
moments alone. Compute: at each quarter's end an arm practises until it has used as many CPU seconds as the
whole had there with the same seed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from _replays import SOURCES
from _scoring import Stream, _errors, sensor_streams
from _sleep_recordings import OF_FLIGHT
from _whole_arms import FULL, Arm
from _whole_cells import Group

from sage.app.config.sage_config import load_config
from sage.app.session.build import Run, build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.prediction.predictor import PredictionScored

NUM_PARTS, NUM_BLOCKS = 4, 8
#: The first minute of xio is enough for four quarters with a night between them.
SECONDS = {"flight": 5.5, "xio": 60.0}
QUICK_SECONDS = {"flight": 2.0}
#: Ticks after a quarter's end in which a night that is due begins and ends.
NIGHT_TICKS = 2
WARM_UP_TICKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """cpu_secs: used by the end of each quarter.  num_steps: of practice."""

    groups: tuple[Group, ...]
    cpu_secs: tuple[float, ...]
    num_steps: int


def live(name: str, arm: Arm, suite: str, seed: int, limits: Sequence[float], *, is_quick: bool) -> Lived:
    """One recording. limits: CPU seconds by the end of each quarter, of the whole; empty for the whole."""
    warm_up()
    secs = (QUICK_SECONDS if is_quick else SECONDS)[name]
    config = load_config(SOURCES[name], _settings(name, arm, suite, seed, secs), with_files=True)
    events: list[PredictionScored] = []
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock()
        run = build_run(config, clock, directory=Path(folder) / "sleep", on_scored=events.append)
        try:
            run.open()
            num_before, used = _play(run, clock, secs / NUM_PARTS, suite, limits, events)
            faulty = first_source(run) if suite == "faulty" else ""
            num_steps = run.loop.between_ticks.practice.num_steps
        finally:
            run.close()
    span_ns = (round((NUM_PARTS - 1) / NUM_PARTS * secs * 1e9), round(secs * 1e9))
    scored = [stream for stream in sensor_streams(events[num_before:]) if stream.source != faulty]
    return Lived(groups=(group_of(name, scored, span_ns),), cpu_secs=tuple(used), num_steps=num_steps)


def _settings(name: str, arm: Arm, suite: str, seed: int, secs: float) -> list[str]:
    part = secs / NUM_PARTS
    settings = [f"seed={seed}", "sleep.where=inline", f"sleep.first_after_secs={part}"]
    settings += [f"sleep.every_secs={part}", "sleep.enabled=true", *(OF_FLIGHT if name == "flight" else ())]
    if suite == "scarce":
        num_sources = len(load_config(SOURCES[name], (), with_files=True).enabled_sensors)
        settings.append(f"attention.top_k={num_sources // 2}")
    if suite == "faulty":
        settings.append("diagnosis.allow_inject=true")
    return [*settings, *arm.loop]


def first_source(run: Run) -> str:
    return run.loop.layout.specs[0].name


def _play(
    run: Run,
    clock: ManualClock,
    part_secs: float,
    suite: str,
    limits: Sequence[float],
    events: Sequence[PredictionScored],
) -> tuple[int, list[float]]:
    """Play the recording: readings scored before the last quarter, and CPU seconds by each quarter's end."""
    start_ns, started, used = clock.now_ns(), time.process_time(), []
    num_before = 0
    for number in range(1, NUM_PARTS + 1):
        run.loop.run(until_ns=start_ns + round(number * part_secs * 1e9))
        if number < NUM_PARTS:
            run.loop.run(num_ticks=NIGHT_TICKS)
            num_before = len(events)
        if limits and number < NUM_PARTS:
            practise(run, clock, started + limits[number - 1])
        used.append(time.process_time() - started)
        if suite == "faulty" and number == NUM_PARTS // 2:
            assert run.world.faults is not None
            run.world.faults.start(first_source(run), "freeze")
    return num_before, used


def practise(run: Run, clock: ManualClock, until: float) -> None:
    """Steps of practice until the process has used so many CPU seconds, or there is nothing to learn from."""
    practice = run.loop.between_ticks.practice
    before = -1
    while time.process_time() < until and practice.num_steps + practice.num_rejected > before:
        before = practice.num_steps + practice.num_rejected
        practice.work(0, clock.now_ns() + 10**12, 1)


def group_of(name: str, scored: Sequence[Stream], span_ns: tuple[int, int]) -> Group:
    """Errors, and those of persistence, of each source in blocks of equal time. Rows: sources."""
    edges = np.linspace(span_ns[0], span_ns[1], NUM_BLOCKS + 1)[1:-1] * 1e-9
    sources, errors, reference = [], [], []
    for stream in sorted(scored, key=lambda each: each.source):
        moved = ((stream.actual - stream.last) != 0).any(axis=0) & (stream.scale > 0)
        if not moved.any():
            continue
        block = np.searchsorted(edges, stream.time_secs)
        sources.append(stream.source)
        for rows, forecast in ((errors, stream.ours), (reference, stream.last)):
            weighed = _errors(forecast, stream, moved) * stream.horizon_secs
            rows.append(np.bincount(block, weighed, NUM_BLOCKS).tolist())
    return Group(name=name, rows=tuple(sources), values=tuple(errors), reference=tuple(reference))


@cache
def warm_up() -> None:
    """Compile kernels, which a process does once, before CPU seconds are counted."""
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock()
        run = build_run(load_config("flight", (), with_files=True), clock, directory=Path(folder) / "sleep")
        try:
            run.open()
            run.loop.run(num_ticks=WARM_UP_TICKS)
        finally:
            run.close()


def limits_of(whole: Sequence[float], arm: Arm) -> Sequence[float]:
    """CPU seconds that an arm has: those of the whole; the whole itself has no limit."""
    return () if arm.name == FULL else whole
