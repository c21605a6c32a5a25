"""One tick, top to bottom, one thread: sense, gather, appraise, schedule, fuse, reason, read, act, remember, learn, report.

Between ticks comes the interlude: operating mode, practice (L), sleep (H). Trust and salience of a tick take
effect in the next. Invariant: every lease taken in a tick is back at its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sage.mailbox.clock import Clock
from sage.mailbox.peripheral import PeripheralMailbox
from sage.memory.recall import RecallStore
from sage.runtime.acting import Acting
from sage.runtime.appraisal import Appraisal
from sage.runtime.attention import Attention, recency
from sage.runtime.coherence import CoherenceMeter
from sage.runtime.config import RuntimeConfig
from sage.runtime.facts import SourceArrays, source_facts
from sage.runtime.fusion import Fused, Fusion
from sage.runtime.instruments import Instruments
from sage.runtime.interlude import Interlude
from sage.runtime.layout import Layout
from sage.runtime.policy import Policy
from sage.runtime.predictor import ScoredListener
from sage.runtime.reasoner import Readout, Reasoner, build_model
from sage.runtime.remembering import Remembering
from sage.runtime.report import ActionFacts, Event, Instrument, LearningFacts, MemoryFacts, TickFacts, TickReport
from sage.runtime.senses import Gathered, Senses
from sage.runtime.stopwatch import Stopwatch
from sage.runtime.trust import TrustEstimator, token_weights
from sage.sensors.contract import Effector
from sage.sensors.driver import SensorDriver

SUSPECT_TRUST = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the loop is handed: it builds none of it and names none of it.

    drivers: one a source, all publishing to `records`.  recall: what a recalling sensor among them reads from.
    directory: where sleep works.  device: chosen once, by the app.
    """

    clock: Clock
    drivers: Sequence[SensorDriver]
    records: PeripheralMailbox
    recall: RecallStore
    directory: Path
    device: torch.device
    effectors: Sequence[Effector] = ()
    instruments: Sequence[Instrument] = ()
    on_scored: ScoredListener | None = None


class Loop:
    """The loop. `run` ticks until told to stop; `tick` is one tick; both on the caller's thread."""

    def __init__(self, config: RuntimeConfig, world: World) -> None:
        self.config, self.clock = config, world.clock
        self.layout = Layout.of([driver.spec for driver in world.drivers])
        num, now_ns = self.layout.num_sources, world.clock.now_ns()
        self._names = tuple(spec.name for spec in self.layout.specs)
        self.senses = Senses(world.drivers, world.records)
        self.acting = Acting(world.effectors, Policy(config.policy))
        self._instruments = Instruments(world.instruments)
        self._appraisal = Appraisal(num)
        self._attention = Attention(num, config.attention)
        self.fusion = Fusion(self.layout, world.on_scored)
        self.trust = TrustEstimator(num, config.trust)
        model = build_model(self.layout, self.acting.size, config.model, config.seed)
        self.reasoner = Reasoner(model, self.layout, config.model, world.device)
        self.remembering = Remembering(
            self.layout, self.acting.size, self.reasoner.carry_shape, config, world.device, world.recall
        )
        self.interlude = Interlude(
            config,
            self.reasoner,
            self.remembering,
            clock=world.clock,
            directory=world.directory,
            tell=self._tell,
            on_sleep=self._instruments.on_sleep,
        )
        self._coherence = CoherenceMeter(num, config.model.hidden_size)
        self._max_age_ns = np.maximum(config.attention.max_age_secs * 1e9, 4 * self.layout.period_ns)
        self._rewards = [index for index, spec in enumerate(self.layout.specs) if spec.observes[0] == "reward"]
        self._salience = np.zeros(num)
        self._events: list[Event] = []
        self._statuses = ["starting"] * num
        self._epoch_ns = now_ns
        self.tick_count = 0
        self._stop_reason = ""

    # --- a run -------------------------------------------------------------------------------------------------

    def run(self, *, num_ticks: int | None = None, until_ns: int | None = None) -> str:
        """Tick until `num_ticks` more, the clock's `until_ns`, every recording's end, `stop()` or a crisis; says which."""
        deadline_ns = self.clock.now_ns()
        last_tick = None if num_ticks is None else self.tick_count + num_ticks
        while not self._stop_reason:
            if last_tick is not None and self.tick_count >= last_tick:
                return "ticks"
            if until_ns is not None and self.clock.now_ns() >= until_ns:
                return "time"
            deadline_ns = max(deadline_ns, self.clock.now_ns()) + self.interlude.period_ns
            self.tick()
            crisis = self.interlude.pass_time(self.tick_count, deadline_ns)
            if crisis:
                self.acting.hold_all()
                self.stop(f"crisis: {crisis}")
            self.clock.wait_until(deadline_ns)
        return self._stop_reason

    def stop(self, reason: str) -> None:
        """End `run` after the tick in hand. Safe from a signal handler."""
        self._stop_reason = self._stop_reason or reason

    def open(self) -> None:
        """Open effectors and start the drivers: the run's time begins. `close` undoes it, also after a failure here."""
        self._epoch_ns = self.clock.now_ns()
        self.acting.open()
        self.senses.start()

    def close(self) -> None:
        """Hold the effectors, end a night in progress, close every device."""
        self.interlude.sleeper.abort()
        try:
            self.acting.close()
        finally:
            self.senses.close()

    # --- a tick ------------------------------------------------------------------------------------------------

    def tick(self) -> TickReport:
        """One tick. Reports to every instrument and returns the report."""
        stopwatch = Stopwatch()
        now_ns = self.clock.now_ns()
        self.tick_count += 1
        self.senses.sense(now_ns)
        stopwatch.lap("sense")
        gathered = self.senses.gather()
        try:
            facts, model_ns = self._think(gathered, now_ns, stopwatch)
        finally:
            gathered.release()
        timing = stopwatch.timing(model_ns, self.interlude.period_ns)
        report = TickReport(facts=facts, timing=timing)
        self._instruments.on_tick(report)
        return report

    def _think(self, gathered: Gathered, now_ns: int, stopwatch: Stopwatch) -> tuple[TickFacts, int]:
        self._note_statuses(gathered)
        # A bounded sensor captures after the tick began: its age is 0, not negative.
        age_ns = np.where(gathered.captured_ns >= 0, np.maximum(now_ns - gathered.captured_ns, 0), -1)
        running = np.array([status == "running" for status in self._statuses])
        usable = running & (age_ns >= 0) & (age_ns <= self._max_age_ns)
        novelty = self._appraisal.novelty(gathered.summary, gathered.fresh)
        stopwatch.lap("gather")
        trust = self.trust.trust
        fresh_rate = recency(age_ns, self.layout.period_ns)
        chosen = self._attention.choose(trust * gathered.quality * fresh_rate * (1 + self._salience), gathered.fresh)
        weight = token_weights(trust, fresh_rate, gathered.quality * gathered.confidence, usable)
        stopwatch.lap("schedule")
        relative = weight / max(weight.max(), 1e-12)
        fused = self.fusion.fuse(self.tick_count, gathered, chosen, usable, age_ns, relative, trust, self.trust.noise)
        if fused.is_new_scale:
            self.remembering.transitions.mark_break()
        stopwatch.lap("fuse")
        audited = self._audited(fused.percept.present)
        carry_before = self.reasoner.carry
        readout = self.reasoner.think(fused.percept, audited, self.config.budget.segments, now_ns)
        self._note_readout(readout)
        stopwatch.lap("reason")
        reward = self._reward(fused)
        done, actions = self.acting.act(np.tanh(readout.action_mean), self.interlude.state, float((weight * trust).sum()), now_ns)
        stopwatch.lap("act")
        self.fusion.predictor.propose(readout.prediction)
        estimate = self.fusion.audit(fused, audited, readout.level)
        self.trust.update(self.fusion.evidence(fused, estimate))
        stopwatch.lap("learn")
        memory = self.remembering.remember(
            tick=self.tick_count,
            time_ns=now_ns - self._epoch_ns,
            fused=fused,
            carry=carry_before,
            action=done,
            reward=reward,
            reward_error=abs(reward - readout.value) if not math.isnan(reward) else math.nan,
            surprise=self.trust.nis,
            novelty=novelty,
            conflict=1 - self.trust.responsibility,
            trust=trust,
        )
        self._salience = np.nan_to_num(self.remembering.salience)
        stopwatch.lap("remember")
        arrays = SourceArrays(
            age_ns=age_ns,
            fresh=gathered.fresh,
            attended=chosen,
            trust=np.where([status == "quarantined" for status in self._statuses], 0.0, trust),
            weight=weight,
            quality=gathered.quality,
            surprise=np.where(fused.met, self.trust.nis, np.nan),
            novelty=novelty,
            salience=self.remembering.salience,
            is_stuck=self.trust.is_stuck,
            scores=fused.scores,
        )
        facts = self._facts(now_ns, gathered, arrays, readout, fused, memory, actions)
        stopwatch.lap("report")
        return facts, readout.model_ns

    def _facts(
        self,
        now_ns: int,
        gathered: Gathered,
        arrays: SourceArrays,
        readout: Readout,
        fused: Fused,
        memory: MemoryFacts,
        actions: tuple[ActionFacts, ...],
    ) -> TickFacts:
        nis = np.where(fused.met & fused.is_judged, self.trust.nis, np.nan)
        coherence = self._coherence.update(
            readout.states,
            fused.percept.present,
            nis,
            arrays.trust,
            np.nansum(fused.scores.error),
            np.nansum(fused.scores.persistence_error),
        )
        learning = LearningFacts(
            num_practice_steps=self.interlude.practice.num_steps,
            loss=self.interlude.practice.loss,
            gate=float(self.fusion.predictor.gate.values.mean()),
            weights_version=self.interlude.weights_version,
            num_carry_resets=self.reasoner.num_resets,
        )
        events, self._events = tuple(self._events), []
        return TickFacts(
            tick=self.tick_count,
            time_ns=now_ns - self._epoch_ns,
            state=self.interlude.state,
            num_segments=readout.num_segments,
            value=readout.value,
            sources=source_facts(self._names, gathered.statistics, arrays),
            coherence=coherence,
            memory=memory,
            learning=learning,
            actions=actions,
            events=events,
        )

    # --- small parts -------------------------------------------------------------------------------------------

    def _audited(self, present: np.ndarray) -> int:
        """Whom the audit row masks: every other tick a suspect if there is one, else the next in rotation."""
        num = self.layout.num_sources
        suspects = np.flatnonzero(present & (self.trust.trust < SUSPECT_TRUST))
        if len(suspects) and self.tick_count % 2:
            return int(suspects[(self.tick_count // 2) % len(suspects)])
        return self.tick_count % num

    def _reward(self, fused: Fused) -> float:
        """Sum of the readings of sources that observe "reward" and spoke this tick; NaN when none did."""
        spoke = [index for index in self._rewards if fused.met[index]]
        if not spoke:
            return math.nan
        offsets = self.layout.offsets
        return float(sum(self.fusion.predictor.last[offsets[index] : offsets[index + 1]].sum() for index in spoke))

    def _note_readout(self, readout: Readout) -> None:
        if not readout.is_finite:
            self.remembering.transitions.mark_break()
            self._tell("fault", "the model's readout is not finite: carry reset")
        self.interlude.crisis.note_model(readout.is_finite)

    def _note_statuses(self, gathered: Gathered) -> None:
        """Tell of every source whose status changed, and end the run when every recording is over."""
        statuses: list[str] = [counts.status for counts in gathered.statistics]
        for name, old, counts in zip(self._names, self._statuses, gathered.statistics):
            if counts.status != old:
                self._tell("source", f"{old} -> {counts.status}" + (f": {counts.last_error}" if counts.last_error else ""), name)
        self._statuses = statuses
        physical = [status for status, spec in zip(statuses, self.layout.specs) if spec.modality == "physical"]
        if physical and all(status == "exhausted" for status in physical):
            self.stop("recordings ended")

    def _tell(self, kind: str, message: str, source: str = "") -> None:
        event = Event(kind=kind, tick=self.tick_count, source=source, message=message)
        self._events.append(event)
        self._instruments.on_event(event)
