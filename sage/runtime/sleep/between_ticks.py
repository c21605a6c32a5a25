"""Between two ticks: collect finished nights, check for a crisis, start a night when due, practise.

Invariant: the live weights change only here, so that one tick uses one set of weights throughout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sage.hrm_core.observation.model import ObservationModel
from sage.mailbox.clock import Clock, ManualClock
from sage.memory.stores.hmemory import HMemory
from sage.memory.windows.window import concatenate
from sage.runtime.config import RuntimeConfig
from sage.runtime.report import SleepOutcome, SleepReport, State
from sage.runtime.sleep.alarm import NightAlarm
from sage.runtime.sleep.allowance import Allowance
from sage.runtime.sleep.consolidate import Night, SleepPlan, why_skip
from sage.runtime.sleep.crisis import CrisisWatch
from sage.runtime.sleep.dreaming import Dreamer
from sage.runtime.sleep.guards import Guards, MachineLimits
from sage.runtime.sleep.judge import SLEPT
from sage.runtime.sleep.metabolism import AWAKE, CRISIS_REASON
from sage.runtime.sleep.practice import Practice, loss_settings
from sage.runtime.sleep.sleeper import EndedNight, Sleeper
from sage.runtime.solving.solvers import PuzzleSolving
from sage.runtime.tick.memory_writer import MemoryWriter
from sage.runtime.tick.reasoner import Reasoner

Emit = Callable[[str, str], None]
#: While a guard holds the loop its event is repeated, with the figures of now: a log is read from its end.
GUARD_EVERY_NS = 3_600_000_000_000


class BetweenTicks:
    """Owns practice, sleep and the operating mode. A night is of the observation model and of the models that
    solve puzzles; DREAM lasts until all of them have ended.

    emit(kind, message): creates an event.  on_sleep: called with the report of every night.  stopped: why a
    person stopped every effector, "" where none did: a crisis until they are released.  dreamer: of nights
    that begin with dreams.  machine: figures that the guards limit.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reasoner: Reasoner,
        memory_writer: MemoryWriter,
        solving: PuzzleSolving,
        *,
        clock: Clock,
        directory: Path,
        emit: Emit,
        on_sleep: Callable[[SleepReport], None],
        stopped: Callable[[], str] = lambda: "",
        dreamer: Dreamer | None = None,
        machine: MachineLimits | None = None,
    ) -> None:
        self._config = config
        self._reasoner = reasoner
        self._memory_writer = memory_writer
        self._solving = solving
        self._clock = clock
        self._emit = emit
        self._on_sleep = on_sleep
        self._stopped = stopped
        now_ns = clock.now_ns()
        self.practice = Practice(
            reasoner.model,
            memory_writer.transitions,
            config.practice,
            num_segments=config.budget.segments,
            seed=config.seed,
            clock=clock,
            acting=config.acting,
        )
        self.sleeper = Sleeper(config.sleep, directory, now_ns, dreamer)
        self._dreamer = dreamer
        self.allowance = Allowance(config, now_ns)
        self.crisis = CrisisWatch(config.max_resident_bytes)
        # On a manual clock the machine of the moment must not change a run that repeats.
        self._guards = None if isinstance(clock, ManualClock) else Guards(config.guards, directory, machine)
        #: Keys of guards that limit nothing here, with the reason.
        self.unreadable = () if self._guards is None else self._guards.unreadable
        #: Why the loop has to be in CRISIS, "" where it has not: a person's stop, or guards of the machine.
        self.held = ""
        #: Why the budget is smaller near a limit of the machine, "" where it is not.
        self.shrunk = ""
        self._guard_due_ns = 0
        self._num_usual_ticks = 0
        #: Of the experiences of the night in progress, None where all that is examined is of it.
        self._night_newest_id: int | None = None
        self._alarm = NightAlarm(now_ns)
        self.weights_version = 0

    @property
    def state(self) -> State:
        return self.allowance.mode

    @property
    def period_ns(self) -> int:
        """Period of a tick in the current state."""
        tick = self._config.tick
        rates = {
            State.FOCUS: self._config.metabolism.focus_rate_hz or tick.rate_hz,
            State.REST: tick.rest_rate_hz,
            State.DREAM: tick.dream_rate_hz,
            State.CRISIS: tick.rest_rate_hz,
        }
        return int(1e9 / rates.get(self.state, tick.rate_hz))

    def pass_time(self, tick: int, deadline_ns: int) -> str:
        """Do what is due after `tick`, before `deadline_ns`; returns the crisis that started, or ""."""
        now_ns = self._clock.now_ns()
        ended = self.sleeper.collect(now_ns)
        if ended is not None:
            self._end_night(ended)
        self._solving.pass_time(deadline_ns, self._report_night)
        crisis = self.crisis.check(tick)
        held = self._watch(now_ns)
        if self.state in AWAKE and not (crisis or held) and self.sleeper.is_due(now_ns):
            self._start_night(tick, now_ns)
        transition = self.allowance.step(
            now_ns,
            is_calm=self._memory_writer.is_calm,
            is_salient=self._memory_writer.is_salient,
            is_sleeping=self.is_asleep,
            change=self._memory_writer.change,
            crisis=crisis or held,
        )
        if transition is not None:
            cause = crisis or held if transition.reason == CRISIS_REASON else transition.reason
            self._emit("state", f"{transition.target.value}: {cause}")
        self._solving.pause_practice(self.state is State.CRISIS or not self.allowance.is_whole)
        if not self.is_asleep:
            self.allowance.end_night()
        num_steps = self.allowance.practice_steps(self._config.budget.practice_steps)
        num_ticks = 1
        if self._config.practice.by_time:
            num_ticks = max(round(self.period_ns * 1e-9 * self._config.tick.rate_hz), 1)
            tick = self._num_usual_ticks = self._num_usual_ticks + num_ticks
        self.practice.work(tick, deadline_ns, num_steps, num_ticks)
        self.allowance.charge_practice(self.practice.num_steps)
        return crisis

    @property
    def is_asleep(self) -> bool:
        """Whether a night is in progress, of the observation model or of a stream's."""
        return self.sleeper.is_sleeping or self._solving.is_sleeping

    def _watch(self, now_ns: int) -> str:
        """The alarm of missing nights; then a stop of every effector, and the guards of the machine: why the
        loop has to be in CRISIS, "" where it has not. Nights in progress end without a result.
        """
        alarm = self._alarm.check(self._config.sleep, now_ns, is_asleep=self.is_asleep)
        if alarm:
            self._emit("alarm", alarm)
        guarded = "" if self._guards is None else self._guarded(self._guards, now_ns)
        held = "; ".join(filter(None, (self._stopped(), guarded)))
        has_changed, self.held = bool(held) != bool(self.held), held
        if has_changed or (held and now_ns >= self._guard_due_ns):
            self._guard_due_ns = now_ns + GUARD_EVERY_NS
            self._emit("guard", held or "over")
        if has_changed:
            self._cancel_nights(f"crisis: {held}")
        return held

    def _guarded(self, guards: Guards, now_ns: int) -> str:
        """Take the share of the budget, with an event when it begins to shrink and at the end of that."""
        reason = guards.check(now_ns)
        self.allowance.share = guards.share
        if bool(guards.shrunk) != bool(self.shrunk):
            self._emit("budget", f"shrinks: {guards.shrunk}" if guards.shrunk else "whole again")
        self.shrunk = guards.shrunk
        return reason

    def reconfigure(self, config: RuntimeConfig) -> None:
        """Take the rates of ticks, the steps of practice, the settings of sleep and the limit of memory of
        another configuration; the rest stays as it was built. Between two ticks.
        """
        self._config = self._config.model_copy(
            update={
                "tick": config.tick,
                "budget": config.budget,
                "sleep": config.sleep,
                "max_resident_bytes": config.max_resident_bytes,
            }
        )
        self.sleeper.reconfigure(config.sleep, self._clock.now_ns())
        self.crisis.max_resident_bytes = config.max_resident_bytes

    def ask_night(self) -> str:
        """A night is due now. Why there will be none, or "". Between two ticks."""
        if self.state is State.CRISIS:
            return "a crisis holds the loop: end its cause first"
        if self.is_asleep:
            return "a night is in progress"
        self.sleeper.ask()
        return ""

    def stop_night(self) -> str:
        """End the nights in progress without a result; the weights stay as they are. Why there was nothing
        to end, or "". Between two ticks.
        """
        if not self.is_asleep:
            return "no night is in progress"
        self._cancel_nights("stopped by a person")
        return ""

    def take(self, ended: EndedNight) -> None:
        """Before the first tick: a night that was run before this run. Of a stream its weights are already in
        use.
        """
        if ended.report.stream:
            self._report_night(ended.report)
        else:
            self._night_newest_id = None
            self.sleeper.num_nights += 1
            self._end_night(ended)

    def leave_night(self, tick: int) -> None:
        """After the last tick: write the job of the night that would be next, for `sage sleep`; none where
        there is too little for a night. OSError or DataError where it cannot be written.
        """
        plan = dataclasses.replace(self._plan(tick), limit_secs=None)  # nothing waits for it
        night = gather_night(self._memory_writer.memory, self._reasoner.model)
        if night is not None and not why_skip(night, plan):
            self.sleeper.leave(night, plan)

    def _cancel_nights(self, reason: str) -> None:
        self._solving.abort_night()
        if self.sleeper.is_sleeping:
            self._end_night(self.sleeper.cancel(reason))

    def _report_night(self, report: SleepReport) -> None:
        self.allowance.note_night(report.num_steps)
        self._on_sleep(report)
        self._emit("sleep", f"{report.stream}: {report.outcome.value}: {report.reason}")

    def _plan(self, tick: int) -> SleepPlan:
        return SleepPlan.of(
            self._config.sleep,
            self._config.practice,
            num_segments=self._config.budget.segments,
            seed=self._config.seed + self.sleeper.num_nights,
            tick=tick,
            loss=loss_settings(self._config.practice, self._config.acting),
            block_secs=self._memory_writer.memory.examination.schedule.block_ns * 1e-9,
        )

    def _start_night(self, tick: int, now_ns: int) -> None:
        plan = self._plan(tick)
        num_steps = self._config.sleep.num_steps
        num_steps += 0 if self._dreamer is None else self._dreamer.num_steps
        num_steps += self._config.solver_training.night_steps * len(self._solving.solvers)
        if not self.allowance.begin_night(num_steps):
            self._end_night(self.sleeper.skip(plan, f"energy: too little for {num_steps} steps", now_ns))
            return
        self._solving.begin_night(tick)
        self._night_newest_id = self._memory_writer.memory.newest_id
        night = gather_night(self._memory_writer.memory, self._reasoner.model)
        reason = why_skip(night, plan)
        if night is None or (reason and self._dreamer is None):
            self._end_night(self.sleeper.skip(plan, reason, now_ns))
        else:
            self._emit("sleep", f"night {self.sleeper.num_nights + 1} starts")
            self.sleeper.begin(night, plan, now_ns)

    def _end_night(self, ended: EndedNight) -> None:
        if ended.candidate is not None:
            self._reasoner.adopt(ended.candidate)
            self.practice.restart()
            window = self._memory_writer.transitions.latest_to_now(self._config.practice.window_ticks)
            self._reasoner.burn_in(window, self._config.budget.segments)
            self._memory_writer.transitions.mark_break()
            self.weights_version += 1
        if ended.report.outcome is SleepOutcome.SKIPPED:
            self._alarm.note_skipped(ended.report.reason)
        elif ended.report.outcome is SleepOutcome.FAILED:
            self._alarm.note_failed(ended.report.reason)
        else:
            self._alarm.note_night(self._clock.now_ns())
        if ended.report.outcome in SLEPT:
            # A journal would have it on the disk before the snapshot that has the accepted weights: after a
            # kill between the two a night would have been, whose weights are lost. The snapshot has both.
            is_recorded = ended.candidate is None
            self._memory_writer.memory.mark_slept(self._night_newest_id, is_recorded=is_recorded)
            learned = self._memory_writer.learn_salience()
            if learned is not None:
                self._emit("salience", f"weights: {learned}")
        self.allowance.note_night(ended.report.num_steps)
        self._on_sleep(ended.report)
        self._emit("sleep", f"{ended.report.outcome.value}: {ended.report.reason}")


def gather_night(memory: HMemory, model: ObservationModel) -> Night | None:
    """Copies what a night works on. None when there is nothing to replay or nothing to examine."""
    new = memory.examination.new()
    old = memory.examination.old()
    replay = memory.replay.all()
    examined = concatenate([part for part in (new, old) if part is not None])
    if replay is None or examined is None:
        return None
    num_new = 0 if new is None else len(new)
    return Night(model=model, replay=replay, examined=examined, is_new=np.arange(len(examined)) < num_new)
