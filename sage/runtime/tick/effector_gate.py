"""Act: the action vector of a tick goes through the policy to each effector, and what was done comes back.

Invariant: an effector is called only when a rule allows it and the log has the decision, with finite values
within its limits; a held one is aborted when it is first held, and again until an abort succeeds. No call
blocks the loop for longer than its time limit, after a fault twice that. Between `stop` and `release` no
effector is called but to abort it.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.report import ActionFacts
from sage.runtime.tick.effects import EffectDecision, EffectLog, EffectOutcome, Outcome
from sage.runtime.tick.policy import MODEL_ROLE, Decision, Policy, Situation
from sage.sensors.contract import Action, Effector, EffectorSpec, SensorError
from sage.sensors.driver.effector_driver import (
    Call,
    EffectorDriver,
    EffectorTimeout,
    EffectorTooSoon,
)
from sage.sensors.driver.stoppable import EffectorHeld
from sage.sensors.limits import EffectorSettings

_NOT_FINITE = Decision(verdict="deny", reason="the action is not finite")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Proposed:
    """values: spec.tensor, or of any dtype where they are not finite."""

    driver: EffectorDriver
    role: str
    values: np.ndarray
    decision: Decision


class EffectorGate:
    """The effectors of a run behind the policy.

    An action vector (A,) has the values of all effectors, one after the other, each in -1..1 of its range.
    apart: effectors that are no part of the action vector; `submit` gives them values.
    settings: of the run's configuration, by effector.  log: of decisions and outcomes.
    on_fault: called with an effector's name and the reason at each fault, not again during its quarantine.
    """

    def __init__(
        self,
        effectors: Sequence[Effector],
        policy: Policy,
        clock: Clock,
        on_fault: Callable[[str, str], None] = lambda name, reason: None,
        *,
        apart: Sequence[Effector] = (),
        settings: Mapping[str, EffectorSettings] | None = None,
        log: EffectLog | None = None,
    ) -> None:
        given = settings or {}

        def driver_of(effector: Effector) -> EffectorDriver:
            return EffectorDriver(
                effector,
                clock=clock,
                is_inline=isinstance(clock, ManualClock),
                settings=given.get(effector.spec.name),
            )

        self._drivers = tuple(driver_of(effector) for effector in effectors)
        self._apart = {effector.spec.name: driver_of(effector) for effector in apart}
        self._needs = {
            driver.spec.name: (*driver.spec.needs, *given.get(driver.spec.name, EffectorSettings()).needs)
            for driver in self._all
        }
        self._policy = policy
        self._on_fault = on_fault
        self._log = log
        self._stopped: dict[str, str] = {}
        #: Why every effector is stopped, also in a loop without one; "" where none is, or some go on.
        self.stopped_all = ""
        self._stop_lock = threading.Lock()
        #: Of stops so far.
        self.num_stops = 0
        #: Of stops, and of times that every effector was held: by a release, a pause, the end of a run.
        self.num_holds = 0
        ends = list(itertools.accumulate((driver.spec.size for driver in self._drivers), initial=0))
        self._parts = tuple(slice(start, stop) for start, stop in itertools.pairwise(ends))
        self.size = ends[-1]

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """(first, stop) in the action vector of each group of values of which one is chosen."""
        groups: list[tuple[int, int]] = []
        for driver, part in zip(self._drivers, self._parts):
            ends = itertools.accumulate(driver.spec.choices, initial=part.start)
            groups += itertools.pairwise(ends)
        return tuple(groups)

    @property
    def needs(self) -> tuple[str, ...]:
        """Modalities that an effector needs, or a rule names."""
        return (*self._policy.modalities, *(name for names in self._needs.values() for name in names))

    @property
    def num_faults(self) -> int:
        """Of all effectors, since the run began."""
        return sum(driver.num_faults for driver in self._all)

    @property
    def stopped(self) -> dict[str, str]:
        """Why, by effector, of those that are stopped."""
        return dict(self._stopped)

    @property
    def specs(self) -> tuple[EffectorSpec, ...]:
        """Of the effectors of the action vector, in its order."""
        return tuple(driver.spec for driver in self._drivers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(driver.spec.name for driver in self._all)

    def open(self) -> None:
        """Open every effector that is not stopped. Raises SensorError of the first that fails."""
        for driver in self._all:
            driver.open()

    def close(self) -> None:
        """Hold all, then close all; an error, also of an abort, is raised after all were closed."""
        self.hold_all()
        with ExitStack() as stack:
            for driver in self._all:
                stack.callback(_close, driver)

    def hold_all(self) -> None:
        """Hold every effector; one whose abort fails is a fault. On the loop's thread."""
        with self._stop_lock:
            self.num_holds += 1
        for driver in self._all:
            self._hold(driver)

    def stop(self, reason: str, *, spares: Sequence[str] = ()) -> dict[str, Call]:
        """Abort every effector now and deny its actions until `release`, from any thread, also during a tick.

        spares: effects that go on.  Returns the calls to abort by effector, without waiting for them.
        """
        concerned = [driver for driver in self._all if driver.spec.effect not in spares]
        with self._stop_lock:
            self.num_stops += 1
            self.num_holds += 1
            self._stopped = {**self._stopped, **{driver.spec.name: reason for driver in concerned}}
            if not spares:
                self.stopped_all = reason
            return {driver.spec.name: driver.stop() for driver in concerned}

    def release(self, num_stops: int) -> bool:
        """End every stop, unless there were more than `num_stops`; the devices are opened again at their
        next action. On the loop's thread.
        """
        self.hold_all()
        with self._stop_lock:
            if self.num_stops != num_stops:
                return False
            for driver in self._all:
                driver.release()
            self._stopped = {}
            self.stopped_all = ""
        return True

    def act(self, values: np.ndarray, situation: Situation) -> tuple[np.ndarray, tuple[ActionFacts, ...]]:
        """values: (A,) in -1..1. Returns what was done (A,) in -1..1, 0 where held, and the facts.

        All effectors act at the same time; each has until its own time limit.
        """
        proposed = [
            self._propose(driver, _scaled(driver, values[part]), MODEL_ROLE, situation)
            for driver, part in zip(self._drivers, self._parts)
        ]
        done = np.zeros(self.size, dtype=np.float32)
        facts = []
        for part, action, fact in zip(self._parts, *self._dispatch(proposed, situation)):
            if action is not None and not action.is_held:
                done[part] = action.spec.normalized(action.values)
            facts.append(fact)
        return done, tuple(facts)

    def submit(
        self, name: str, values: np.ndarray, situation: Situation, *, role: str
    ) -> tuple[Action | None, ActionFacts]:
        """Give values (spec.tensor, in its own unit) to an effector of `apart`, if the policy allows it.

        Returns what was done, None when it was held. KeyError for a name that is not of `apart`.
        """
        driver = self._apart[name]
        driver.spec.check(values)
        proposed = self._propose(driver, values, role, situation)
        ((action,), (fact,)) = self._dispatch([proposed], situation)
        return (None if fact.is_dry else action), fact

    def rest(self, name: str) -> None:
        """Hold an effector of `apart` for which there is no action. KeyError for another name."""
        self._hold(self._apart[name])

    @property
    def _all(self) -> tuple[EffectorDriver, ...]:
        return (*self._drivers, *self._apart.values())

    def _hold(self, driver: EffectorDriver) -> None:
        problem = driver.hold()
        if problem:
            self._on_fault(driver.spec.name, problem)

    def _propose(
        self, driver: EffectorDriver, values: np.ndarray, role: str, situation: Situation
    ) -> _Proposed:
        stop = self._stopped.get(driver.spec.name)
        if stop is not None:
            decision = Decision(verdict="deny", reason=f"stopped: {stop}")
        else:
            needs = self._needs[driver.spec.name]
            decision = self._policy.decide(driver.spec, situation, role=role, needs=needs)
        if decision.is_allowed and not np.isfinite(values).all():
            decision = _NOT_FINITE
        return _Proposed(driver=driver, role=role, values=values, decision=decision)

    def _dispatch(
        self, proposed: Sequence[_Proposed], situation: Situation
    ) -> tuple[list[Action | None], list[ActionFacts]]:
        """Log the decisions, start every allowed action, then wait for each."""
        problem = self._written(proposed, situation)
        if problem:
            denied = Decision(verdict="deny", reason=f"the audit log cannot be written: {problem}")
            proposed = [dataclasses.replace(each, decision=denied) for each in proposed]
        for each in proposed:
            if each.decision.is_allowed:
                each.driver.begin(each.values, situation.now_ns)
            else:
                self._hold(each.driver)
        actions, facts = [], []
        for each in proposed:
            action, fact = self._finish(each, situation.tick)
            actions.append(action)
            facts.append(fact)
        return actions, facts

    def _written(self, proposed: Sequence[_Proposed], situation: Situation) -> str:
        if self._log is None or not proposed:
            return ""
        return self._log.decided(
            [
                EffectDecision(
                    spec=each.driver.spec,
                    role=each.role,
                    verdict=each.decision.verdict,
                    reason=each.decision.reason,
                    values=each.values,
                    situation=situation,
                )
                for each in proposed
            ]
        )

    def _finish(self, proposed: _Proposed, tick: int) -> tuple[Action | None, ActionFacts]:
        """What one effector did, None when it was held, and its facts in its own unit."""
        driver, decision = proposed.driver, proposed.decision
        action: Action | None = None
        verdict: str = decision.verdict
        reason = decision.reason
        limited_by: tuple[str, ...] = ()
        if decision.is_allowed:
            outcome: Outcome = "done"
            try:
                action = driver.finish()
                outcome = "dry" if driver.is_dry else "held" if action.is_held else "done"
            except SensorError as error:  # counted by the driver, shown in the facts; the loop continues
                reason = str(error)
                outcome = _outcome_of(error)
                if not isinstance(error, EffectorTooSoon):
                    verdict = "fault"
                if not isinstance(error, EffectorHeld):
                    self._on_fault(driver.spec.name, reason)
            limited_by = (
                *driver.limited_by,
                *(("device",) if action is not None and action.is_limited else ()),
            )
            self._note_outcome(driver.spec.name, outcome, reason, action, limited_by, tick)
        facts = ActionFacts(
            effector=driver.spec.name,
            asked=tuple(proposed.values.reshape(-1).tolist()),
            done=() if action is None else tuple(action.values.reshape(-1).tolist()),
            decision=verdict,
            reason=reason,
            is_held=action is None or action.is_held,
            limited_by=limited_by,
            is_dry=driver.is_dry and action is not None,
        )
        return action, facts

    def _note_outcome(
        self,
        effector: str,
        outcome: Outcome,
        reason: str,
        action: Action | None,
        limited_by: tuple[str, ...],
        tick: int,
    ) -> None:
        if self._log is None:
            return
        values = None if action is None else action.values
        self._log.ended(
            EffectOutcome(
                effector=effector,
                outcome=outcome,
                reason=reason,
                values=values,
                limited_by=limited_by,
                tick=tick,
            )
        )


def _close(driver: EffectorDriver) -> None:
    driver.close()
    if driver.owes_abort:
        raise SensorError(f"{driver.spec.name}: closed, but no abort has succeeded: it may still move")


def _scaled(driver: EffectorDriver, part: np.ndarray) -> np.ndarray:
    """(size,) in -1..1 in the device's unit; as it is where it is not finite."""
    return driver.spec.scaled(part) if bool(np.isfinite(part).all()) else part


def _outcome_of(error: SensorError) -> Outcome:
    if isinstance(error, EffectorTimeout):
        return "timed out"
    return "held" if isinstance(error, EffectorHeld) else "failed"
