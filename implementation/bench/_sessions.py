"""Loops of synthetic sources on a manual clock, built as any run is, with nothing between ticks.

Invariant: practice and sleep are off and every source is attended, so that a tick does all of a tick's work
and no more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sage.app.config.entry import DeviceEntry
from sage.app.config.sage_config import SageConfig
from sage.app.session.build import build_run
from sage.mailbox.clock import ManualClock
from sage.runtime.config import (
    AttentionConfig,
    BudgetConfig,
    CoherenceConfig,
    ModelSection,
    PolicyConfig,
    PolicyRule,
    PracticeConfig,
    SleepConfig,
    SolverTrainingConfig,
    SolvingConfig,
    TickConfig,
)
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.devices.synthetic import SyntheticConfig
from sage.sensors.effectors.recording import RecordingConfig
from sage.sensors.environments.puzzles.config import PuzzlesConfig

TICK_HZ = 20.0
TOP_K = 256
WINDOW_TICKS = 64  # of the coherence figures
NUM_CHANNELS = 3
QUARTER_SPREAD = (
    0.2  # sources at a quarter of the rate differ by this share, or all would speak in one tick of four
)


class Reports:
    """An instrument that reads the facts of every source and keeps the last report alone."""

    def __init__(self) -> None:
        self.last: TickReport | None = None
        self.num_fresh = 0

    def on_tick(self, report: TickReport) -> None:
        self.last = report
        self.num_fresh += sum(source.is_fresh for source in report.facts.sources)

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


class Session:
    """One open loop; `tick` is one tick and the time until the next.

    wall_ns, cpu_ns: of the last tick with its instruments, without the time between ticks.
    """

    def __init__(self, loop: Any, clock: ManualClock) -> None:
        self._loop, self._clock = loop, clock
        self.wall_ns = self.cpu_ns = 0

    def tick(self) -> TickReport:
        started_ns, started_cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        report: TickReport = self._loop.tick()
        self.cpu_ns = time.thread_time_ns() - started_cpu_ns
        self.wall_ns = time.perf_counter_ns() - started_ns
        self._loop.between_ticks.pass_time(self._loop.tick_count, self._clock.now_ns())
        self._clock.advance(self._loop.between_ticks.period_ns)
        return report


@contextmanager
def session(config: SageConfig, directory: Path) -> Iterator[Session]:
    clock = ManualClock()
    instruments = [Reports()] if config.effectors else []
    run = build_run(config, clock, directory=directory, instruments=instruments)
    try:
        run.open()
        yield Session(run.loop, clock)
    finally:
        run.close()


def synthetic_config(
    num_sources: int, *, is_quarter: bool = False, num_segments: int = 2, hidden_size: int = 64
) -> SageConfig:
    """Sources of one hidden state, each with a reading every tick, or every fourth on average."""
    return SageConfig(
        sensors=tuple(_source(index, num_sources, is_quarter) for index in range(num_sources)),
        tick=TickConfig(rate_hz=TICK_HZ, rest_rate_hz=TICK_HZ),
        attention=AttentionConfig(top_k=TOP_K),
        budget=BudgetConfig(segments=num_segments, practice_steps=0),
        model=ModelSection(hidden_size=hidden_size),
        practice=PracticeConfig(enabled=False),
        sleep=SleepConfig(enabled=False),
    )


def with_all_on(config: SageConfig) -> SageConfig:
    """With a stream of puzzles, an effector that is allowed to act, and windows of coherence figures."""
    puzzles = PuzzlesConfig(name="puzzles", task="sudoku", options={"size": 4}, teacher="after")
    return config.model_copy(
        update={
            "effectors": (DeviceEntry(config=RecordingConfig(name="record", size=3)),),
            "environments": (DeviceEntry(config=puzzles),),
            "policy": PolicyConfig(rules=(PolicyRule(decision="allow"),)),
            "solving": SolvingConfig(hidden_size=32),
            "solver_training": SolverTrainingConfig(practises=False),
            "coherence": CoherenceConfig(window_ticks=WINDOW_TICKS, num_surrogates=9),
        }
    )


def _source(index: int, num_sources: int, is_quarter: bool) -> DeviceEntry:
    place = index / max(num_sources - 1, 1) - 0.5
    rate_hz = TICK_HZ / 4 * (1 + QUARTER_SPREAD * place) if is_quarter else TICK_HZ
    return DeviceEntry(
        config=SyntheticConfig(name=f"source{index}", shape=(NUM_CHANNELS,), seed=index, rate_hz=rate_hz)
    )
