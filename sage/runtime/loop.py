"""One tick, on one thread: sense, gather, schedule, fuse, reason, act, learn, remember, report.

`BetweenTicks` does the rest between two ticks: operating mode, practice (L), sleep (H). Trust and salience of
a tick take effect in the next one. Invariant: every lease taken in a tick is released at its end.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import numpy as np

from sage.hrm_core.model.recurrence import Carry
from sage.runtime.channels.layout import Layout
from sage.runtime.coherence.monitor import build_monitor
from sage.runtime.config import RuntimeConfig
from sage.runtime.control import LoopControl
from sage.runtime.inputs import LoopInputs
from sage.runtime.instruments import Instruments
from sage.runtime.report import (
    ActionFacts,
    CoherenceFacts,
    Event,
    EventData,
    Instrument,
    LearningFacts,
    MemoryFacts,
    PostureFacts,
    TickFacts,
    TickReport,
)
from sage.runtime.sleep.between_ticks import BetweenTicks
from sage.runtime.solving.solvers import PuzzleSolving
from sage.runtime.tick.actor import Actor
from sage.runtime.tick.answers import Answers
from sage.runtime.tick.context_trust import ContextTrust
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.facts import SourceArrays, mean_of, source_facts, total, without_nan
from sage.runtime.tick.fusion import Fused, Fusion, Scene
from sage.runtime.tick.measurements import Measurements
from sage.runtime.tick.memory_writer import MemoryWriter
from sage.runtime.tick.policy import Policy, Situation
from sage.runtime.tick.reasoner import Readout, Reasoner, build_model
from sage.runtime.tick.relays import Relays
from sage.runtime.tick.scheduler import Scheduler
from sage.runtime.tick.senses import Gathered, Senses
from sage.runtime.tick.statuses import Statuses
from sage.runtime.tick.stopwatch import Stopwatch
from sage.runtime.tick.worlds import Worlds
from sage.runtime.trust.coherence import CoherenceMeter
from sage.runtime.trust.estimator import TrustEstimator
from sage.runtime.trust.posture import PostureMeter

SUSPECT_TRUST = 0.7


class Loop:
    """The loop. `run` ticks until something stops it; `tick` is one tick. Both run on the caller's thread."""

    def __init__(self, config: RuntimeConfig, inputs: LoopInputs) -> None:
        self.config, self.clock = config, inputs.clock
        self.layout = Layout.of([driver.spec for driver in inputs.drivers], config.vision.focus_tiles)
        num = self.layout.num_sources
        self._names = tuple(spec.name for spec in self.layout.specs)
        self.senses = Senses(inputs.drivers, inputs.records, inputs.latest)
        self.effector_gate = self._gate(inputs)
        self._relays = Relays(inputs.relays, self._emit)
        self._posture = PostureMeter(self.layout.specs, config.posture, self.effector_gate.needs)
        self._instruments = Instruments(inputs.instruments)
        self.scheduler = Scheduler(self.layout, config)
        self.fusion = Fusion(self.layout, inputs.on_scored, config.trust)
        self.answers = Answers(self.layout, inputs.board, self._emit)
        self.measurements = Measurements(
            inputs.measurements, inputs.drivers, inputs.latest, config, self._emit
        )
        self.trust = self.measurements.in_use(self.answers.joined(TrustEstimator(num, config.trust)))
        self.worlds = Worlds(self.layout)
        size, choices = self.effector_gate.size, self.effector_gate.choices
        parts = self.worlds.parts(self.effector_gate.specs)
        model = build_model(self.layout, size, config.model, config.seed, choices, parts)
        explores = config.acting.explores and self.worlds.has_reward
        self.actor = Actor(choices, explores=explores, seed=config.seed, min_std=config.acting.min_std)
        self.reasoner = Reasoner(model, self.layout, config.model, inputs.device, config.tick)
        shape = self.reasoner.carry_shape
        self.memory_writer = MemoryWriter(self.layout, size, shape, config, inputs.device, inputs.recall)
        entities = self.memory_writer.entities
        self.context_trust = ContextTrust(self._names, entities, is_enabled=config.trust.by_context)
        self.solving = PuzzleSolving(
            inputs.streams,
            config.solving,
            config.budget,
            clock=inputs.clock,
            device=inputs.device,
            seed=config.seed,
            emit=self._emit,
            work=inputs.work,
        )
        self.between_ticks = BetweenTicks(
            config,
            self.reasoner,
            self.memory_writer,
            self.solving,
            clock=inputs.clock,
            directory=inputs.directory,
            emit=self._emit,
            on_sleep=self._instruments.on_sleep,
            stopped=lambda: self.effector_gate.stopped_all,
            dreamer=inputs.dreamer,
            machine=inputs.machine,
        )
        self._coherence = CoherenceMeter(num, config.model.hidden_size)
        self._coherence_monitor = build_monitor(
            config, self.measurements.freedom, inputs.clock, inputs.device, self._instruments.on_coherence
        )
        self._salience = np.zeros(num)
        self._events: list[Event] = []
        self._statuses = Statuses(self.layout.specs, self._emit)
        self._epoch_ns = self.clock.now_ns()
        self.tick_count = self._rotated = 0  # _rotated: source that was audited last in rotation
        self._stop_reason = ""
        self.control = LoopControl(
            self.clock,
            hold=self.effector_gate.hold_all,
            drain=lambda: self.senses.drain(self.clock.now_ns()),
            mark=self.memory_writer.transitions.mark_break,
        )

    def _gate(self, inputs: LoopInputs) -> EffectorGate:
        return EffectorGate(
            inputs.effectors,
            Policy(self.config.policy),
            inputs.clock,
            on_fault=lambda name, reason: self._emit("fault", reason, name),
            apart=[*(stream.answer for stream in inputs.streams), *inputs.relays],
            settings=inputs.effector_settings,
            log=inputs.effect_log,
        )

    def run(self, *, num_ticks: int | None = None, until_ns: int | None = None) -> str:
        """Tick until a limit is reached, then hold the effectors, also when it raises; `tick` holds none.

        Returns the reason. num_ticks: that many more, "ticks".  until_ns: on the loop's clock, "time".
        Without a limit the run ends with `stop`, when every recording has ended, or with a crisis.
        """
        last_tick = None if num_ticks is None else self.tick_count + num_ticks
        with ExitStack() as stack:
            stack.callback(self.effector_gate.hold_all)
            while not self._stop_reason:
                if last_tick is not None and self.tick_count >= last_tick:
                    return "ticks"
                if until_ns is not None and self.clock.now_ns() >= until_ns:
                    return "time"
                if self.control.step(self.between_ticks.period_ns, until_ns):
                    continue
                deadline_ns = self.clock.now_ns() + self.between_ticks.period_ns
                self.tick()
                if crisis := self.between_ticks.pass_time(self.tick_count, deadline_ns):
                    self.effector_gate.hold_all()
                    self.stop(f"crisis: {crisis}")
                self.control.wait_until(deadline_ns, until_ns)
        return self._stop_reason

    def observe(self, *instruments: Instrument) -> None:
        """Add instruments after construction, e.g. those of a session that begins once sensors are open."""
        self._instruments.add(*instruments)

    @property
    def epoch_ns(self) -> int:
        """The run's start on the loop's clock: time 0 of its reports and memories."""
        return self._epoch_ns

    def note(self, kind: str, message: str) -> None:
        """Add an event, e.g. an instrument's own fault. On the loop's thread."""
        self._emit(kind, message)

    def stop(self, reason: str) -> None:
        """End `run` after the current tick, from any thread. Safe in a signal handler."""
        self._stop_reason = self._stop_reason or reason
        self.control.interrupt()

    def open(self) -> None:
        """Open the effectors and start the drivers at time 0 of the run. `close` it also when this raises."""
        self.solving.prepare()
        self._epoch_ns = self.clock.now_ns()
        self.effector_gate.open()
        self.senses.start()
        self.solving.open()

    def close(self) -> None:
        """Hold and close the effectors, end a night in progress, close every device."""
        with ExitStack() as stack:  # in the opposite order: the effectors first
            stack.callback(self.senses.close)
            stack.callback(self.solving.close)
            stack.callback(self.between_ticks.sleeper.abort)
            if self._coherence_monitor is not None:
                stack.callback(self._coherence_monitor.close)
            stack.callback(self.effector_gate.close)

    def tick(self) -> TickReport:
        """Run one tick; every instrument receives the report, which is also returned."""
        stopwatch = Stopwatch()
        now_ns = self.clock.now_ns()
        self.tick_count += 1
        self.senses.sense(now_ns)
        time_ns = now_ns - self._epoch_ns
        self.solving.sense(self.tick_count, now_ns, time_ns, self.memory_writer.memory.episode_at(time_ns))
        stopwatch.lap("sense")
        gathered = self.senses.gather(now_ns)
        try:
            if self._statuses.note(gathered.states):
                self.stop("recordings ended")
            stopwatch.lap("gather")
            facts, model_ns = self._process(gathered, now_ns, stopwatch)
            self._instruments.on_readings(facts, gathered.array)
        finally:
            gathered.release()
        report = TickReport(facts=facts, timing=stopwatch.timing(model_ns, self.between_ticks.period_ns))
        self._instruments.on_tick(report)
        return report

    def _process(self, gathered: Gathered, now_ns: int, stopwatch: Stopwatch) -> tuple[TickFacts, int]:
        """The tick after gathering: its facts, and the time of the model alone in ns."""
        scene = self.scheduler.schedule(gathered, now_ns, self._statuses, self.trust, self._salience)
        stopwatch.lap("schedule")
        is_asleep, noise = self.between_ticks.is_asleep, self.trust.noise
        fused = self.fusion.fuse(self.tick_count, gathered, scene, noise, is_asleep)
        self._statuses.note_replaced(self.fusion.substitutes.kind)
        if fused.is_new_scale:
            self.memory_writer.transitions.mark_break()
        self.worlds.meet(fused.met, self.fusion.predictor.last, fused.percept.deltas)
        if self.worlds.reset.any():
            self.reasoner.start_again(self.worlds.reset > 0)
        self.answers.meet(gathered, scene, self._statuses.is_running, self.fusion, now_ns - self._epoch_ns)
        self.measurements.meet(gathered.fresh, now_ns)
        stopwatch.lap("fuse")
        audited, carry_before = self._audited(fused.percept.present, scene.trust), self.reasoner.carry
        allowance = self.between_ticks.allowance
        readout = self.reasoner.think(fused.percept, audited, allowance.segments(), now_ns)
        self._note_readout(readout)
        allowance.settle(readout.num_segments, int(np.count_nonzero(fused.met)))
        solve_ns = self._solve(readout.num_segments)
        stopwatch.lap("reason")
        situation = self._situation(scene, now_ns)
        wanted = self.actor.choose(readout.action_mean, readout.action_log_std)
        done, actions = self.effector_gate.act(wanted, situation)
        actions += self._relays.act(self.effector_gate, situation)
        actions += self.solving.answer(self.effector_gate, situation)
        allowance.charge_actions(sum(not action.is_held for action in actions))
        stopwatch.lap("act")
        self.scheduler.note(fused.scores.error, situation.posture.confidence)
        self.fusion.predictor.propose(readout.prediction)
        self.trust.update(self.fusion.evidence(fused, self.fusion.audit(fused, audited, readout.level)))
        stopwatch.lap("learn")
        memory = self._remember(now_ns, scene, fused, carry_before, done, readout)
        stopwatch.lap("remember")
        facts = self._facts(now_ns, gathered, scene, readout, fused, memory, actions, situation.posture)
        stopwatch.lap("report")
        return facts, readout.model_ns + solve_ns

    def _situation(self, scene: Scene, now_ns: int) -> Situation:
        """What the policy decides by in this tick."""
        return Situation(
            state=self.between_ticks.state,
            trust=float(np.add.reduce(scene.weight * scene.trust)),
            posture=self._posture.measure(scene.trust, scene.usable, scene.chosen),
            tick=self.tick_count,
            now_ns=now_ns,
        )

    def _solve(self, num_spent: int) -> int:
        """Segments of puzzles under way and of devices' work, by the tick's budget; returns their ns."""
        started_ns = time.perf_counter_ns()
        allowance = self.between_ticks.allowance
        num_tokens = 2 * num_spent * (self.layout.num_sources + 2)
        self.solving.think(num_spent, allowance.puzzle_segments, num_tokens, allowance.puzzle_limit)
        allowance.charge_puzzles(self.solving.num_segments)
        return time.perf_counter_ns() - started_ns

    def _remember(
        self, now_ns: int, scene: Scene, fused: Fused, carry: Carry, done: np.ndarray, readout: Readout
    ) -> MemoryFacts:
        memory = self.memory_writer.remember(
            tick=self.tick_count,
            time_ns=now_ns - self._epoch_ns,
            fused=fused,
            carry=carry,
            action=done,
            reward=self.worlds.reward,
            reset=self.worlds.reset,
            value=readout.value,
            surprise=self.trust.nis,
            conflict=1 - self.trust.responsibility,
            verdict=self.trust.verdict,
            trust=scene.trust,
        )
        self.context_trust.follow(self.memory_writer.context, self.trust)
        self.memory_writer.note_verdicts(self.answers.verdicts)
        for solver in self.solving.solvers:
            teacher = solver.record.teacher
            self.memory_writer.note_teacher(f"{solver.name}: teacher", teacher.num_shown, teacher.num_refused)
        self._salience = without_nan(self.memory_writer.salience)
        return memory

    def _facts(
        self,
        now_ns: int,
        gathered: Gathered,
        scene: Scene,
        readout: Readout,
        fused: Fused,
        memory: MemoryFacts,
        actions: tuple[ActionFacts, ...],
        posture: PostureFacts,
    ) -> TickFacts:
        nis = np.where(fused.met, self.trust.nis, np.nan)
        sources = SourceArrays(
            age_ns=scene.age_ns,
            fresh=gathered.fresh,
            attended=scene.chosen,
            trust=np.where(self._statuses.is_quarantined, 0.0, scene.trust),
            judged=self.trust.is_judged,
            weight=scene.weight,
            quality=gathered.quality,
            surprise=nis,
            novelty=self.memory_writer.novelty,
            salience=self.memory_writer.salience,
            is_stuck=self.trust.is_stuck.copy(),
            num_invalid=self.fusion.num_invalid.copy(),
            scores=fused.scores,
            skips=scene.skips,
        )
        coherence = self._measure_coherence(now_ns - self._epoch_ns, scene, readout, fused, nis)
        events, self._events = tuple(self._events), []
        return TickFacts(
            tick=self.tick_count,
            time_ns=now_ns - self._epoch_ns,
            state=self.between_ticks.state,
            num_segments=readout.num_segments,
            value=float(readout.value.sum()),
            sources=source_facts(self._names, gathered.states, sources),
            coherence=coherence,
            memory=memory,
            learning=self._learning(),
            actions=actions,
            events=events,
            solving=self.solving.facts(),
            work=self.solving.work_facts(),
            acting=self.worlds.facts(),
            posture=posture,
            energy=self.between_ticks.allowance.facts(),
            activity=readout.activity,
        )

    def _measure_coherence(
        self, time_ns: int, scene: Scene, readout: Readout, fused: Fused, nis: np.ndarray
    ) -> CoherenceFacts:
        scores, present = fused.scores, fused.percept.present
        judged = np.where(fused.is_judged, nis, np.nan)
        error, persistence = total(scores.error), total(scores.persistence_error)
        if self._coherence_monitor is not None:
            self._coherence_monitor.collect(
                self.tick_count, time_ns, states=readout.states, present=present, nis=judged,
                trust=scene.trust, error=error, persistence=persistence, carry=self.reasoner.carry,
            )  # fmt: skip
        return self._coherence.update(readout.states, present, judged, scene.trust, error, persistence)

    def _learning(self) -> LearningFacts:
        return LearningFacts(
            num_practice_steps=self.between_ticks.practice.num_steps,
            loss=self.between_ticks.practice.loss,
            gate=mean_of(self.fusion.predictor.gate.values),
            weights_version=self.between_ticks.weights_version,
            num_carry_resets=self.reasoner.num_resets,
        )

    def _audited(self, present: np.ndarray, trust: np.ndarray) -> int:
        """The source that the audit row masks: on odd ticks one of low trust, else the next in rotation."""
        if self.tick_count % 2:
            suspects = np.flatnonzero(present & (trust < SUSPECT_TRUST))
            if len(suspects):
                return int(suspects[(self.tick_count // 2) % len(suspects)])
        self._rotated = (self._rotated + 1) % self.layout.num_sources
        return self._rotated

    def _note_readout(self, readout: Readout) -> None:
        if not readout.is_finite:
            self.memory_writer.transitions.mark_break()
            self._emit("fault", "the model's readout is not finite: carry reset")
        self.between_ticks.crisis.note_model(readout.is_finite)

    def _emit(self, kind: str, message: str, source: str = "", data: EventData = ()) -> None:
        event = Event(kind=kind, tick=self.tick_count, source=source, message=message, data=data)
        self._events.append(event)
        self._instruments.on_event(event)
