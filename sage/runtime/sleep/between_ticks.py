"""Between two ticks: wake from a finished night, watch for a crisis, fall asleep when due, practise if it
fits.

Invariant: the live weights change here or not at all, so that a tick sees one model from its start to its
end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sage.mailbox.clock import Clock
from sage.runtime.config import RuntimeConfig
from sage.runtime.report import SleepReport, State
from sage.runtime.sleep.consolidate import SleepPlan
from sage.runtime.sleep.crisis import CrisisWatch
from sage.runtime.sleep.metabolism import Metabolism, Vitals
from sage.runtime.sleep.practice import Practice
from sage.runtime.sleep.sleeper import Awakening, Sleeper
from sage.runtime.tick.memory_writer import MemoryWriter
from sage.runtime.tick.reasoner import Reasoner

Tell = Callable[[str, str], None]


class BetweenTicks:
    """Owns practice, sleep and the operating mode. `tell(kind, message)` makes an event; `on_sleep` hears of
    every night.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reasoner: Reasoner,
        remembering: MemoryWriter,
        *,
        clock: Clock,
        directory: Path,
        tell: Tell,
        on_sleep: Callable[[SleepReport], None],
    ) -> None:
        self._config, self._reasoner, self._remembering = config, reasoner, remembering
        self._clock, self._tell, self._on_sleep = clock, tell, on_sleep
        now_ns = clock.now_ns()
        self.practice = Practice(
            reasoner.model,
            remembering.transitions,
            config.practice,
            num_segments=config.budget.segments,
            seed=config.seed,
            clock=clock,
        )
        self.sleeper = Sleeper(config.sleep, directory, now_ns)
        self.metabolism = Metabolism(now_ns)
        self.crisis = CrisisWatch(config.max_resident_bytes)
        self._calm_since_ns = now_ns
        self.weights_version = 0

    @property
    def state(self) -> State:
        return self.metabolism.state

    @property
    def period_ns(self) -> int:
        """Of a tick in the present state."""
        tick = self._config.tick
        rates = {State.REST: tick.rest_rate_hz, State.DREAM: tick.dream_rate_hz}
        return int(1e9 / rates.get(self.state, tick.rate_hz))

    def pass_time(self, tick: int, deadline_ns: int) -> str:
        """Everything that is due after `tick`, before `deadline_ns`. Returns the crisis that began, or
        nothing.
        """
        now_ns = self._clock.now_ns()
        awakening = self.sleeper.collect(now_ns)
        if awakening is not None:
            self._wake_up(awakening)
        crisis = self.crisis.check(tick)
        if self.state in (State.WAKE, State.REST) and not crisis and self.sleeper.is_due(now_ns):
            self._fall_asleep(tick, now_ns)
        if not self._remembering.is_calm:
            self._calm_since_ns = now_ns
        vitals = Vitals(
            calm_secs=(now_ns - self._calm_since_ns) * 1e-9,
            is_sleeping=self.sleeper.is_sleeping,
            crisis=crisis,
        )
        transition = self.metabolism.step(vitals, now_ns)
        if transition is not None:
            self._tell("state", f"{transition.target.value}: {transition.reason}")
        if (
            self.state is not State.DREAM
        ):  # a night works on a snapshot: its candidate would overwrite what is learned now
            self.practice.work(tick, deadline_ns, self._config.budget.practice_steps)
        return crisis

    def _fall_asleep(self, tick: int, now_ns: int) -> None:
        plan = SleepPlan.of(
            self._config.sleep,
            self._config.practice,
            num_segments=self._config.budget.segments,
            seed=self._config.seed + self.sleeper.num_nights,
            tick=tick,
        )
        self._tell("sleep", f"night {self.sleeper.num_nights + 1} begins")
        night = self._remembering.night(self._reasoner.model)
        if night is None:
            self.sleeper.skip(plan, "nothing to replay or to examine yet", now_ns)
        else:
            self.sleeper.begin(night, plan, now_ns)

    def _wake_up(self, awakening: Awakening) -> None:
        if awakening.candidate is not None:
            self._reasoner.adopt(awakening.candidate)
            self.practice.restart()
            window = self._remembering.transitions.latest_to_now(self._config.practice.window_ticks)
            self._reasoner.burn_in(window, self._config.budget.segments)
            self._remembering.transitions.mark_break()
            self.weights_version += 1
        self._remembering.mark_slept()
        self._on_sleep(awakening.report)
        self._tell("sleep", f"{awakening.report.outcome.value}: {awakening.report.reason}")
