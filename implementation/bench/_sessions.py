"""Loops of made-up sources on a manual clock, built as any run is, with nothing between ticks.

Invariant: practice and sleep are off and every source is attended, so that a tick does all of a tick's work
and no more.
"""

from __future__ import annotations

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
    ModelSection,
    PracticeConfig,
    SleepConfig,
    TickConfig,
)
from sage.runtime.report import Event, SleepReport, TickReport
from sage.sensors.devices.synthetic import SyntheticConfig

TICK_HZ = 20.0
TOP_K = 64
NUM_CHANNELS = 3
QUARTER_SPREAD = (
    0.2  # sources at a quarter of the rate differ by this share, or all would speak in one tick of four
)


class Reports:
    """An instrument that keeps the last report alone: what it holds must not grow."""

    def __init__(self) -> None:
        self.last: TickReport | None = None

    def on_tick(self, report: TickReport) -> None:
        self.last = report

    def on_sleep(self, report: SleepReport) -> None: ...

    def on_event(self, event: Event) -> None: ...


class Session:
    """One open loop; `tick` is one tick and the time until the next."""

    def __init__(self, loop: Any, clock: ManualClock) -> None:
        self._loop, self._clock = loop, clock

    def tick(self) -> TickReport:
        report: TickReport = self._loop.tick()
        self._loop.between_ticks.pass_time(self._loop.tick_count, self._clock.now_ns())
        self._clock.advance(self._loop.between_ticks.period_ns)
        return report


@contextmanager
def session(config: SageConfig, directory: Path) -> Iterator[Session]:
    clock = ManualClock()
    run = build_run(config, clock, directory=directory, instruments=[Reports()])
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


def _source(index: int, num_sources: int, is_quarter: bool) -> DeviceEntry:
    place = index / max(num_sources - 1, 1) - 0.5
    rate_hz = TICK_HZ / 4 * (1 + QUARTER_SPREAD * place) if is_quarter else TICK_HZ
    return DeviceEntry(
        config=SyntheticConfig(name=f"source{index}", shape=(NUM_CHANNELS,), seed=index, rate_hz=rate_hz)
    )
