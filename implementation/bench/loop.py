"""The cost of a tick without its model, for 1, 4, 16 and 64 sources, and memory growth over 100,000 ticks.

Overhead is the time of a tick minus the network's forward (TickTiming.overhead_ns), on the loop's one thread.
Sources are synthetic, 3 channels each. "every": each has a new reading every tick, the worst case; "quarter":
every fourth tick. The sizes alternate in rounds of ticks, so that other load affects all alike; a figure is
the median over the rounds of a round's p50 or p99. Growth is the ratio of p50 overheads divided by 4, the
ratio of the numbers of sources. Memory is the resident size after a garbage collection, of a separate process
(2 sources, a small model, one segment), at ticks 10,000, 55,000 and 100,000. Its noise, the difference
between three measurements 100 ticks apart, is subtracted.
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
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import harness
import numpy as np
import psutil
import torch
from _sessions import Session, session, synthetic_config

SOURCES = (1, 4, 16, 64)
RATES = ("every", "quarter")
NUM_WARM = 144  # past everything that starts late: trust, ranks of salience, the change of scale at tick 128
SOAK_TICKS, QUICK_SOAK_TICKS = (10_000, 55_000, 100_000), (400, 800, 1_200)
NUM_LOOKS, LOOK_EVERY = 3, 100
MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Row:
    """One size at one rate: a list a round of each tick's overhead, model and stage times, in us."""

    num_sources: int
    rate: str
    overhead: list[list[float]] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def p50(self) -> float:
        return statistics.median(float(np.percentile(each, 50)) for each in self.overhead)

    def p99(self) -> float:
        return statistics.median(float(np.percentile(each, 99)) for each in self.overhead)

    def describe(self) -> dict[str, Any]:
        return {
            "num_sources": self.num_sources,
            "rate": self.rate,
            "n": sum(len(each) for each in self.overhead),
            "overhead_p50_us": self.p50(),
            "overhead_p99_us": self.p99(),
            "model_p50_us": statistics.median(self.model),
            "overhead_over_model": self.p50() / statistics.median(self.model),
            "stages_mean_us": {stage: sum(each) / len(self.model) for stage, each in self.stages.items()},
        }


def measure(num_rounds: int, num_ticks: int) -> list[Row]:
    """`num_rounds` rounds of `num_ticks` ticks of every row, in turn."""
    rows = [Row(num_sources, rate) for rate in RATES for num_sources in SOURCES]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        configs = [synthetic_config(row.num_sources, is_quarter=row.rate == "quarter") for row in rows]
        sessions = [
            stack.enter_context(session(config, folder / str(index))) for index, config in enumerate(configs)
        ]
        for each in sessions:
            for _ in range(NUM_WARM):
                each.tick()
        for _ in range(num_rounds):
            for row, each in zip(rows, sessions):
                _one_round(row, each, num_ticks)
    return rows


def _one_round(row: Row, each: Session, num_ticks: int) -> None:
    overhead = []
    for _ in range(num_ticks):
        timing = each.tick().timing
        overhead.append(timing.overhead_ns / 1e3)
        row.model.append(timing.model_ns / 1e3)
        for stage, spent_ns in timing.stages:
            row.stages[stage].append((spent_ns - timing.model_ns if stage == "reason" else spent_ns) / 1e3)
    row.overhead.append(overhead)


def growth(rows: list[Row], rate: str) -> dict[str, float]:
    """Overhead of four times the sources, over four times the overhead: at most 1 is no worse than linear."""
    p50 = {row.num_sources: row.p50() for row in rows if row.rate == rate}
    return {f"{few} to {many}": p50[many] / p50[few] for few, many in pairwise(SOURCES)}


def soak(ticks: tuple[int, int, int]) -> dict[str, Any]:
    """Resident bytes at each of `ticks`: the least of a few looks, and how far these differ."""
    process = psutil.Process()
    resident, noise = [], []
    with tempfile.TemporaryDirectory() as folder:
        config = synthetic_config(2, num_segments=1, hidden_size=16)
        with session(config, Path(folder)) as each:
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


def soak_apart(is_quick: bool) -> dict[str, Any]:
    """`soak` in a fresh process, where nothing else was ever allocated."""
    command = [sys.executable, __file__, "--soak", *(["--quick"] if is_quick else [])]
    report: dict[str, Any] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    first, _, last = report["resident_bytes"]
    return report | {"growth_mib": max(last - first - report["noise_bytes"], 0) / MEBIBYTE}


def make_bars(rows: list[Row], memory: dict[str, Any], *, is_quick: bool) -> list[harness.Bar]:
    """A growth that was not watched for 100,000 ticks is owed."""
    at_16 = next(row for row in rows if row.num_sources == 16 and row.rate == "every")
    ratio = growth(rows, "every")["16 to 64"]
    grown = None if is_quick else memory["growth_mib"]
    return [
        harness.Bar(name="overhead of 16 sources, p50 ms", value=at_16.p50() / 1e3, bar=1.0, better="lower"),
        harness.Bar(name="overhead of 64 sources over that of 16", value=ratio, bar=4.0, better="lower"),
        harness.Bar(
            name="resident memory grown, ticks 10,000 to 100,000, MiB", value=grown, bar=1.0, better="lower"
        ),
    ]


def main() -> None:
    parser = harness.argument_parser(__doc__)
    parser.add_argument("--soak", action="store_true", help="measure memory only, and print it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.soak:
        print(json.dumps(soak(QUICK_SOAK_TICKS if arguments.quick else SOAK_TICKS)))
        return
    memory = soak_apart(arguments.quick)
    started_secs, started_cpu_secs = time.perf_counter(), time.process_time()
    rows = measure(*((3, 16) if arguments.quick else (5, 200)))
    share = (time.process_time() - started_cpu_secs) / (time.perf_counter() - started_secs)
    bars = make_bars(rows, memory, is_quick=arguments.quick)
    results = {
        "calibration": harness.calibrate() | {"cpu_share_of_wall": share},
        "rows": [row.describe() for row in rows],
        "growth": {rate: growth(rows, rate) for rate in RATES},
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
        ratio = growth(rows, row.rate).get(f"{row.num_sources // 4} to {row.num_sources}")
        shown.append(
            (
                f"{row.num_sources}, {row.rate}",
                f"{report['overhead_p50_us']:.0f}",
                f"{report['overhead_p99_us']:.0f}",
                f"{report['model_p50_us']:.0f}",
                f"{report['overhead_over_model']:.2f}",
                "-" if ratio is None else f"{ratio:.2f}",
            )
        )
    columns = (
        "sources",
        "overhead p50 us",
        "p99 us",
        "model p50 us",
        "over model",
        "x a quarter of the sources",
    )
    return harness.TextTable(title="Overhead of a tick", columns=columns, rows=tuple(shown))


def stage_table(rows: list[Row]) -> harness.TextTable:
    stages = list(dict.fromkeys(stage for row in rows for stage in row.stages))
    report = [(row, row.describe()["stages_mean_us"]) for row in rows]
    shown = tuple(
        (f"{row.num_sources}, {row.rate}", *(f"{mean.get(stage, 0.0):.0f}" for stage in stages))
        for row, mean in report
    )
    return harness.TextTable(
        title="Mean us a tick, without the model", columns=("sources", *stages), rows=shown
    )


def memory_table(memory: dict[str, Any]) -> harness.TextTable:
    shown = tuple(
        (f"{tick}", f"{resident / MEBIBYTE:.2f}")
        for tick, resident in zip(memory["ticks"], memory["resident_bytes"])
    )
    title = f"Resident memory; looks differ by {memory['noise_bytes'] / MEBIBYTE:.2f} MiB"
    return harness.TextTable(title=title, columns=("tick", "MiB"), rows=shown)


if __name__ == "__main__":
    main()
