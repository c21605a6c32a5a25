"""The loop's cost of large camera frames: 6.2 MB against 64 MB, from another process, through shared memory.

Two loops, each with an isolated camera (a generated test picture), an isolated microphone and three small
inline sources, two of five attended, alternate in rounds of ticks. The figure is the overhead of a tick (all
but the model) in ticks in which the camera was not attended: the median over rounds of a round's p50. Bytes
copied are counted by the pools.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from _sessions import Reports

from sage.app.config.entry import DeviceEntry
from sage.app.config.sage_config import SageConfig
from sage.app.session.build import Run, build_run
from sage.mailbox import RealClock
from sage.runtime.config import (
    AttentionConfig,
    BudgetConfig,
    ModelSection,
    PracticeConfig,
    SleepConfig,
    TickConfig,
)
from sage.runtime.report import TickReport
from sage.sensors.devices.audio import AudioConfig
from sage.sensors.devices.synthetic import SyntheticConfig
from sage.sensors.devices.video import VideoConfig

SIZES = {"6.2 MB": (1920, 1080), "64 MB": (5472, 3900)}
FRAME_HZ = 4
MAX_RATIO = 2.0
READY_SECS = 120.0
TICK_SECS = 0.02


@dataclass(slots=True)
class Row:
    """One size. rounds: overheads in us of the ticks of each that did not attend to the camera."""

    name: str
    num_bytes: int
    rounds: list[list[float]] = field(default_factory=list)
    num_frames: int = 0
    bytes_copied: int = 0
    bytes_referenced: int = 0

    def p50(self) -> float:
        return statistics.median(float(np.percentile(each, 50)) for each in self.rounds if each)


def config_for(width: int, height: int) -> SageConfig:
    picture = f"testsrc2=size={width}x{height}:rate={FRAME_HZ}"
    camera = VideoConfig(name="camera", lavfi=picture, isolate=True, hang_secs=30, max_age_secs=30)
    microphone = AudioConfig(
        name="microphone", lavfi="sine=frequency=440:sample_rate=16000", isolate=True, hang_secs=30
    )
    small = [SyntheticConfig(name=f"small{index}", shape=(3,), seed=index, rate_hz=50) for index in range(3)]
    return SageConfig(
        sensors=tuple(DeviceEntry(config=each) for each in (camera, microphone, *small)),
        tick=TickConfig(rate_hz=1 / TICK_SECS, rest_rate_hz=1 / TICK_SECS),
        attention=AttentionConfig(top_k=2),
        budget=BudgetConfig(segments=1, practice_steps=0),
        model=ModelSection(hidden_size=64),
        practice=PracticeConfig(enabled=False),
        sleep=SleepConfig(enabled=False),
    )


class CameraLoop:
    """One open loop, ticked from here."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def tick(self) -> TickReport:
        report: TickReport = self._run.loop.tick()
        time.sleep(TICK_SECS)
        return report

    def wait_until_ready(self) -> None:
        """Both processes deliver. RuntimeError when they never do."""
        end_secs = time.monotonic() + READY_SECS
        while any(source.sequence < 0 for source in self.tick().facts.sources):
            if time.monotonic() > end_secs:
                described = [driver.statistics() for driver in self._run.loop.senses.drivers]
                raise RuntimeError(f"a source delivered nothing in {READY_SECS:g} s: {described}")

    def measure(self, row: Row, num_ticks: int) -> None:
        overheads = []
        for _ in range(num_ticks):
            report = self.tick()
            camera = next(source for source in report.facts.sources if source.name == "camera")
            row.num_frames += camera.is_fresh
            if not camera.is_attended:
                overheads.append(report.timing.overhead_ns / 1e3)
        row.rounds.append(overheads)

    def count(self, row: Row) -> None:
        pools = self._run.hub.snapshot().focus
        row.bytes_copied = sum(pool.bytes_copied for pool in pools)
        row.bytes_referenced = sum(pool.bytes_referenced for pool in pools)


def measure(num_rounds: int, num_ticks: int) -> list[Row]:
    rows = [Row(name=name, num_bytes=width * height * 3) for name, (width, height) in SIZES.items()]
    with ExitStack() as stack:
        loops = []
        for row in rows:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            run = build_run(
                config_for(*SIZES[row.name]), RealClock(), directory=directory, instruments=[Reports()]
            )
            stack.callback(run.close)
            run.open()
            loops.append(CameraLoop(run))
        for loop in loops:
            loop.wait_until_ready()
        for _ in range(num_rounds):
            for row, loop in zip(rows, loops):
                loop.measure(row, num_ticks)
        for row, loop in zip(rows, loops):
            loop.count(row)
    return rows


def main() -> None:
    arguments = harness.argument_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rows = measure(*((3, 40) if arguments.quick else (9, 100)))
    small, large = rows
    num_copied = sum(row.bytes_copied for row in rows)
    bars = [
        harness.Bar(
            name="tick at 64 MB frames over 6.2 MB",
            value=large.p50() / small.p50(),
            bar=MAX_RATIO,
            better="lower",
        ),
        harness.Bar(name="bytes copied by the pools", value=float(num_copied), bar=0.0, better="lower"),
    ]
    results: dict[str, Any] = {
        "calibration": harness.calibrate(),
        "rows": [
            {
                "name": row.name,
                "num_bytes": row.num_bytes,
                "overhead_p50_us": row.p50(),
                "num_frames": row.num_frames,
                "bytes_copied": row.bytes_copied,
                "bytes_referenced": row.bytes_referenced,
            }
            for row in rows
        ],
    }
    shown = tuple(
        (
            row.name,
            f"{row.p50():.0f}",
            f"{row.num_frames}",
            f"{row.bytes_copied}",
            f"{row.bytes_referenced / 1e6:.0f}",
        )
        for row in rows
    )
    columns = ("frame", "overhead p50 us", "frames seen", "bytes copied", "MB by reference")
    table = harness.TextTable(title="A tick that does not attend to the camera", columns=columns, rows=shown)
    tables = [table, harness.bars_table(bars)]
    harness.finish(
        harness.document("frames", results, bars), tables, is_saved=arguments.save, notes=__doc__ or ""
    )


if __name__ == "__main__":
    main()
