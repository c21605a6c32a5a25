"""The cost of a tick without its models, for 1 to 256 sources, and memory growth over 100,000 ticks.

Overhead is the time of a tick minus the networks' (TickTiming.overhead_ns), on the loop's one thread.
Sources are synthetic, 3 channels each. "off": each has a new reading in every tick; nothing else is
configured. "on": beside that a stream of puzzles, an effector, windows of coherence figures, and an
instrument that reads the facts of every source; its time is in the column "p50 with instruments". "quarter":
as "off", with readings in every fourth tick. The rows alternate in rounds of ticks, so that other load
affects all alike; a figure is the median over the rounds of a round's p50 or p99. CPU is that of the tick on
its thread, with the models and the instruments. Growth is the ratio of p50 overheads, divided by the ratio of
the numbers of sources in the bar. Memory is the resident size after a garbage collection, of a separate
process (2 sources, small models, one segment), at ticks 10,000, 55,000 and 100,000, off and on. Its
noise, the difference between three measurements 100 ticks apart, is subtracted. --cpu: all durations are by
the CPU clock of the thread, for a machine with other load; the bars on durations are then owed.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import harness
import numpy as np
import psutil
import torch
from _sessions import Session, session, synthetic_config, with_all_on

from sage.app.config.sage_config import SageConfig

SOURCES = (1, 4, 16, 64, 256)
JUDGED = {16: 1.0, 64: 3.0, 256: 12.0}  # the most that the p50 of the overhead may be, ms
#: Numbers of sources by mode.
SIZES = {"on": tuple(JUDGED), "off": SOURCES, "quarter": (16, 64)}
# past everything that starts late: trust, ranks of salience, the change of scale at tick 128
NUM_WARM, QUICK_NUM_WARM = 144, 18
SOAK_TICKS, QUICK_SOAK_TICKS = (10_000, 55_000, 100_000), (300, 500, 700)
NUM_LOOKS, LOOK_EVERY = 3, 100
MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Row:
    """One size in one mode: a list a round of each tick's overhead; model, CPU, instruments and stages, in
    us.
    """

    num_sources: int
    mode: str
    overhead: list[list[float]] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    with_instruments: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def p50(self) -> float:
        return statistics.median(float(np.percentile(each, 50)) for each in self.overhead)

    def p99(self) -> float:
        return statistics.median(float(np.percentile(each, 99)) for each in self.overhead)

    def describe(self) -> dict[str, Any]:
        return {
            "num_sources": self.num_sources,
            "mode": self.mode,
            "n": sum(len(each) for each in self.overhead),
            "overhead_p50_us": self.p50(),
            "overhead_p99_us": self.p99(),
            "with_instruments_p50_us": statistics.median(self.with_instruments),
            "cpu_mean_us": statistics.fmean(self.cpu),
            "model_p50_us": statistics.median(self.model),
            "overhead_over_model": self.p50() / statistics.median(self.model),
            "stages_mean_us": {stage: sum(each) / len(self.model) for stage, each in self.stages.items()},
        }


def measure(num_rounds: int, num_ticks: int, num_warm: int) -> list[Row]:
    """`num_rounds` rounds of `num_ticks` ticks of every row, in turn."""
    rows = [Row(num_sources, mode) for mode, sizes in SIZES.items() for num_sources in sizes]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sessions = [
            stack.enter_context(session(config_of(row.num_sources, row.mode), folder / f"{index}" / "files"))
            for index, row in enumerate(rows)
        ]
        for each in sessions:
            for _ in range(num_warm):
                each.tick()
        for _ in range(num_rounds):
            for row, each in zip(rows, sessions):
                _one_round(row, each, num_ticks)
    return rows


def config_of(num_sources: int, mode: str, **options: Any) -> SageConfig:
    config = synthetic_config(num_sources, is_quarter=mode == "quarter", **options)
    return with_all_on(config) if mode == "on" else config


def _one_round(row: Row, each: Session, num_ticks: int) -> None:
    overhead = []
    for _ in range(num_ticks):
        timing = each.tick().timing
        overhead.append(timing.overhead_ns / 1e3)
        row.model.append(timing.model_ns / 1e3)
        row.cpu.append(each.cpu_ns / 1e3)
        row.with_instruments.append((each.wall_ns - timing.model_ns) / 1e3)
        for stage, spent_ns in timing.stages:
            row.stages[stage].append((spent_ns - timing.model_ns if stage == "reason" else spent_ns) / 1e3)
    row.overhead.append(overhead)


def growth(rows: list[Row], mode: str) -> dict[str, float]:
    """Overhead of four times the sources, over the overhead: at most 4 is no worse than linear."""
    p50 = {row.num_sources: row.p50() for row in rows if row.mode == mode}
    return {f"{few} to {many}": p50[many] / p50[few] for few, many in pairwise(SIZES[mode])}


def soak(ticks: tuple[int, int, int], mode: str) -> dict[str, Any]:
    """Resident bytes at each of `ticks`: the least of a few looks, and how far these differ."""
    process = psutil.Process()
    resident, noise = [], []
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(2, mode, num_segments=1, hidden_size=16)
        with session(config, Path(folder) / "files") as each:
            done = 0
            for tick in ticks:
                looks = []
                for look in range(NUM_LOOKS):
                    until = tick - (NUM_LOOKS - 1 - look) * LOOK_EVERY
                    while done < until:
                        each.tick()
                        done += 1
                    gc.collect()
                    looks.append(process.memory_info().rss)
                resident.append(min(looks))
                noise.append(max(looks) - min(looks))
    return {"ticks": list(ticks), "resident_bytes": resident, "noise_bytes": max(noise)}


def soak_apart(is_quick: bool, mode: str) -> dict[str, Any]:
    """`soak` in a fresh process, where nothing else was ever allocated."""
    command = [sys.executable, __file__, "--soak", mode, *(["--quick"] if is_quick else [])]
    report: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    first, _, last = report["resident_bytes"]
    return report | {"growth_mib": max(last - first - report["noise_bytes"], 0) / MEBIBYTE}


def make_bars(
    rows: list[Row], memory: Mapping[str, dict[str, Any]], *, is_quick: bool, is_cpu: bool = False
) -> list[harness.Bar]:
    """A growth of memory that was not measured for 100,000 ticks is owed, and so is a duration by the CPU
    clock.
    """
    bars = [
        harness.Bar(
            name=f"overhead of {row.num_sources} sources, all {row.mode}, p50 ms",
            value=None if is_cpu else row.p50() / 1e3,
            bar=JUDGED[row.num_sources],
            better="lower",
        )
        for row in rows
        if row.mode in ("on", "off") and row.num_sources in JUDGED
    ]
    ratio = growth(rows, "off")["16 to 64"]
    bars.append(
        harness.Bar(name="overhead of 64 sources over that of 16", value=ratio, bar=4.0, better="lower")
    )
    name = "resident memory grown, ticks 10,000 to 100,000, all {}, MiB"
    for mode, found in memory.items():
        grown = None if is_quick else found["growth_mib"]
        bars.append(harness.Bar(name=name.format(mode), value=grown, bar=1.0, better="lower"))
    return bars


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument(
        "--cpu", action="store_true", help="durations by the CPU clock; their bars are then owed"
    )
    parser.add_argument("--soak", choices=("on", "off"), help="measure memory alone, and print it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.cpu:
        time.perf_counter_ns = time.thread_time_ns  # the loop reads its durations there
    if arguments.soak:
        print(json.dumps(soak(QUICK_SOAK_TICKS if arguments.quick else SOAK_TICKS, arguments.soak)))
        return
    memory = {mode: soak_apart(arguments.quick, mode) for mode in ("off", "on")}
    started_secs, started_cpu_secs = time.perf_counter(), time.process_time()
    rows = measure(*((2, 6, QUICK_NUM_WARM) if arguments.quick else (5, 200, NUM_WARM)))
    share = (time.process_time() - started_cpu_secs) / (time.perf_counter() - started_secs)
    bars = make_bars(rows, memory, is_quick=arguments.quick, is_cpu=arguments.cpu)
    results = {
        "calibration": harness.calibrate() | {"cpu_share_of_wall": share},
        "instruction_set": harness.instruction_set(),
        "clock": "cpu" if arguments.cpu else "wall",
        "rows": [row.describe() for row in rows],
        "growth": {mode: growth(rows, mode) for mode in SIZES},
        "memory": memory,
    }
    tables = [overhead_table(rows), stage_table(rows), memory_table(memory), harness.bars_table(bars)]
    harness.finish(
        harness.document("loop", results, bars), tables, is_saved=arguments.save, notes=__doc__ or ""
    )


def overhead_table(rows: list[Row]) -> harness.TextTable:
    shown = []
    for row in rows:
        report = row.describe()
        ratio = growth(rows, row.mode).get(f"{row.num_sources // 4} to {row.num_sources}")
        shown.append(
            (
                f"{row.num_sources}, {row.mode}",
                f"{report['overhead_p50_us']:.0f}",
                f"{report['overhead_p99_us']:.0f}",
                f"{report['with_instruments_p50_us']:.0f}",
                f"{report['cpu_mean_us']:.0f}",
                f"{report['model_p50_us']:.0f}",
                f"{report['overhead_over_model']:.2f}",
                "-" if ratio is None else f"{ratio:.2f}",
            )
        )
    columns = (
        "sources",
        "overhead p50 us",
        "p99 us",
        "p50 with instruments",
        "CPU us",
        "models p50 us",
        "over models",
        "x a quarter of the sources",
    )
    title = f"Overhead of a tick; instruction set {harness.instruction_set()}"
    return harness.TextTable(title=title, columns=columns, rows=tuple(shown))


def stage_table(rows: list[Row]) -> harness.TextTable:
    stages = list(dict.fromkeys(stage for row in rows for stage in row.stages))
    report = [(row, row.describe()["stages_mean_us"]) for row in rows]
    shown = tuple(
        (f"{row.num_sources}, {row.mode}", *(f"{mean.get(stage, 0.0):.0f}" for stage in stages))
        for row, mean in report
    )
    return harness.TextTable(
        title="Mean us a tick, without the models", columns=("sources", *stages), rows=shown
    )


def memory_table(memory: Mapping[str, dict[str, Any]]) -> harness.TextTable:
    first = next(iter(memory.values()))
    shown = tuple(
        (
            mode,
            *(f"{resident / MEBIBYTE:.2f}" for resident in found["resident_bytes"]),
            f"{found['noise_bytes'] / MEBIBYTE:.2f}",
            f"{found['growth_mib']:.2f}",
        )
        for mode, found in memory.items()
    )
    columns = ("all", *(f"tick {tick}" for tick in first["ticks"]), "noise", "growth")
    return harness.TextTable(title="Resident memory, MiB", columns=columns, rows=shown)


if __name__ == "__main__":
    main()
