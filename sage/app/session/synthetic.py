"""A synthetic session, deterministic by seed, for tests of instruments and pages.

Invariant: every value is synthetic; no command of `sage` shows one as a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sage.runtime.activity import ActivityFacts
from sage.runtime.report import (
    NAN,
    ActionFacts,
    CoherenceFacts,
    Event,
    Instrument,
    LearningFacts,
    MemoryFacts,
    PostureFacts,
    SleepOutcome,
    SleepReport,
    SourceFacts,
    State,
    TickFacts,
    TickReport,
    TickTiming,
)

SOURCES = ("host", "camera.front", "imu")
_STAGES = ("sense", "gather", "appraise", "schedule", "fuse", "reason", "read", "act", "remember", "learn")


@dataclass(slots=True, kw_only=True)
class SyntheticSession:
    """`num_ticks` ticks at `tick_hz`: the camera is quarantined for the third fifth, two sleeps at 40% and
    75%.
    """

    num_ticks: int = 600
    tick_hz: float = 20.0
    seed: int = 0
    start_ns: int = 5_000_000_000
    sources: tuple[str, ...] = SOURCES
    _rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def play(self, *instruments: Instrument) -> None:
        """Send the whole session to each instrument, as the loop does."""
        for item in self.items():
            for instrument in instruments:
                match item:
                    case TickReport():
                        instrument.on_tick(item)
                    case SleepReport():
                        instrument.on_sleep(item)
                    case Event():
                        instrument.on_event(item)

    def items(self) -> Iterator[TickReport | SleepReport | Event]:
        yield Event(kind="session", tick=0, message="started")
        nights = {int(0.4 * self.num_ticks): True, int(0.75 * self.num_ticks): False}
        for tick in range(self.num_ticks):
            report = self._tick(tick)
            yield report
            yield from report.facts.events
            if tick in nights:
                yield self._sleep(tick, nights[tick])

    def _tick(self, tick: int) -> TickReport:
        progress = tick / self.num_ticks
        model_ns = int(6e6 * math.exp(0.1 * self._rng.standard_normal()))
        overhead_ns = int(8e5 * math.exp(0.2 * self._rng.standard_normal())) + (
            60_000_000 if tick % 211 == 210 else 0
        )
        sources = tuple(self._source(index, name, tick) for index, name in enumerate(self.sources))
        agreement = 0.55 + 0.25 * progress + 0.04 * math.sin(tick / 37)
        correctness = max(0.0, 0.7 * progress + 0.03 * self._rng.standard_normal()) if tick > 40 else NAN
        facts = TickFacts(
            tick=tick,
            time_ns=self.start_ns + int(tick * 1e9 / self.tick_hz),
            state=self._state(progress),
            num_segments=2 + int(self._rng.integers(3)),
            value=0.2 * math.sin(tick / 50),
            sources=sources,
            coherence=CoherenceFacts(
                xerr=0.9 - 0.5 * progress + 0.02 * self._rng.standard_normal(),
                agreement=agreement,
                agreement_null=0.31 + 0.01 * math.sin(tick / 90),
                correctness=correctness,
                coherence=math.sqrt(agreement * correctness),
                num_ticks=min(tick, 256),
            ),
            memory=MemoryFacts(
                num_kept=min(tick // 4, 100),
                num_seen=tick,
                capacity=100,
                num_transitions=min(tick, 512),
                salience=abs(self._rng.standard_normal()) / 3,
                is_kept=tick % 4 == 0,
            ),
            learning=LearningFacts(
                num_practice_steps=tick // 2,
                loss=NAN if tick < 2 else math.exp(-2 * progress) + 0.05 * self._rng.random(),
                gate=min(1.0, 1.4 * progress),
                weights_version=(progress > 0.4) + 0,
                num_carry_resets=0,
            ),
            actions=(
                ActionFacts(
                    effector="recorder",
                    asked=(0.5, -0.25),
                    done=(0.0, 0.0),
                    decision="denied",
                    reason="not allowed",
                    is_held=True,
                    limited_by=("slew",),
                ),
            ),
            activity=ActivityFacts(h_change=0.2 + 0.3 * progress, l_change=0.6 - 0.2 * progress),
            posture=PostureFacts(
                confidence=0.5 + 0.3 * progress, asymmetry=0.2, breadth=0.8, starved=("vision",)
            ),
            events=self._events(tick),
        )
        total_ns = model_ns + overhead_ns
        stages = tuple((name, total_ns // len(_STAGES)) for name in _STAGES)
        timing = TickTiming(
            total_ns=total_ns, stages=stages, model_ns=model_ns, is_overrun=total_ns * self.tick_hz > 1e9
        )
        return TickReport(facts=facts, timing=timing)

    def _source(self, index: int, name: str, tick: int) -> SourceFacts:
        progress = tick / self.num_ticks
        is_out = self._is_out(index, tick)
        is_fresh = not is_out and tick % (index + 1) == 0
        persistence = (1 + 0.3 * math.sin(tick / 61 + index)) * self._rng.chisquare(6) / 6
        ratio = 1.05 - (0.55 - 0.15 * index) * min(1.0, 1.6 * progress) + 0.05 * self._rng.standard_normal()
        trust = 0.05 if is_out else 0.5 + 0.4 * min(1.0, 2 * progress) - 0.1 * index
        period_ns = int((index + 1) * 1e9 / self.tick_hz)
        return SourceFacts(
            name=name,
            status="quarantined" if is_out else "running",
            sequence=tick // (index + 1),
            age_ns=int(0.4 * period_ns)
            + (int((progress - 0.4) * self.num_ticks * 1e9 / self.tick_hz) if is_out else 0),
            is_fresh=is_fresh,
            is_attended=is_fresh and tick % 3 != 2,
            trust=trust,
            weight=trust / (1.4 + index),
            quality=0.0 if is_out else 0.98,
            surprise=NAN if is_out else self._rng.chisquare(6) / 6 * ratio,
            novelty=self._rng.random(),
            salience=self._rng.random() ** 3,
            error=ratio * persistence if is_fresh and tick else NAN,
            persistence_error=persistence if is_fresh and tick else NAN,
            skip_error=0.5 * (1 + ratio) * persistence if is_fresh and tick else NAN,
            num_dropped=tick // 50 * index,
            num_faults=3 if index == 1 and progress > 0.4 else 0,
            reason="read_into raised OSError: no such device" if is_out else "",
        )

    def _is_out(self, index: int, tick: int) -> bool:
        return index == 1 and 0.4 < tick / self.num_ticks < 0.6

    def _state(self, progress: float) -> State:
        return (
            State.DREAM
            if 0.4 < progress < 0.44 or 0.75 < progress < 0.79
            else State.REST
            if 0.3 < progress < 0.4
            else State.WAKE
        )

    def _events(self, tick: int) -> tuple[Event, ...]:
        if len(self.sources) < 2 or self._is_out(1, tick) == self._is_out(1, tick - 1):
            return ()
        kind = "quarantine" if self._is_out(1, tick) else "recovered"
        message = "read_into raised OSError: no such device" if kind == "quarantine" else "delivers again"
        return (
            Event(kind=kind, tick=tick, source=self.sources[1], message=message, data=(("num_faults", 3),)),
        )

    def _sleep(self, tick: int, is_better: bool) -> SleepReport:
        gain, width = (0.12, 0.05) if is_better else (-0.01, 0.04)
        return SleepReport(
            outcome=SleepOutcome.ACCEPTED if is_better else SleepOutcome.ROLLED_BACK,
            reason="gain above 0 on held-out experience" if is_better else "no better on held-out experience",
            tick=tick,
            num_replayed=240,
            num_examined=60,
            num_steps=300,
            loss_before=0.82,
            loss_after=0.82 * (1 - gain),
            gain=gain,
            gain_low=gain - width,
            gain_high=gain + width,
            loss_old_before=0.90,
            loss_old_after=0.88 if is_better else 0.91,
            wall_secs=4.2,
        )
