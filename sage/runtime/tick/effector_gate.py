"""Act: the action vector of a tick goes through the policy to each effector, and what was done comes back.

Invariant: an effector is called only when a rule allows it, with finite values within its ranges; a held one
is aborted once, when it is first held. No call blocks the loop for longer than its time limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.report import ActionFacts, State
from sage.runtime.tick.policy import Decision, Policy
from sage.sensors.contract import Action, Effector, SensorError
from sage.sensors.driver.effector_driver import EffectorDriver, EffectorHeld

_NOT_FINITE = Decision(is_allowed=False, reason="the model's action is not finite")


class EffectorGate:
    """The effectors of a run behind the policy.

    An action vector (A,) has the values of all effectors, one after the other, each in -1..1 of its range.
    apart: effectors that are no part of the action vector; `submit` gives them values.
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
    ) -> None:
        is_inline = isinstance(clock, ManualClock)
        self._drivers = tuple(
            EffectorDriver(effector, clock=clock, is_inline=is_inline) for effector in effectors
        )
        self._apart = {
            effector.spec.name: EffectorDriver(effector, clock=clock, is_inline=is_inline)
            for effector in apart
        }
        self._policy = policy
        self._on_fault = on_fault
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
    def num_faults(self) -> int:
        """Of all effectors, since the run began."""
        return sum(driver.num_faults for driver in self._all)

    def open(self) -> None:
        """Open every effector. Raises SensorError of the first that fails."""
        for driver in self._all:
            driver.open()

    def close(self) -> None:
        """Hold all, then close all; an error is raised after all were closed."""
        self.hold_all()
        with ExitStack() as stack:
            for driver in self._all:
                stack.callback(driver.close)

    def hold_all(self) -> None:
        for driver in self._all:
            driver.hold()

    def act(
        self, values: np.ndarray, state: State, trust: float, now_ns: int
    ) -> tuple[np.ndarray, tuple[ActionFacts, ...]]:
        """values: (A,) in -1..1. Returns what was done (A,) in -1..1, 0 where held, and the facts.

        All effectors act at the same time; each has until its own time limit.
        """
        begun = [
            self._begin(driver, values[part], state, trust, now_ns)
            for driver, part in zip(self._drivers, self._parts)
        ]
        done = np.zeros(self.size, dtype=np.float32)
        facts = []
        for driver, part, (requested, decision) in zip(self._drivers, self._parts, begun):
            action, fact = self._finish(driver, requested, decision)
            if action is not None:
                done[part] = driver.spec.normalized(action.values)
            facts.append(fact)
        return done, tuple(facts)

    def submit(
        self, name: str, values: np.ndarray, state: State, trust: float, now_ns: int
    ) -> tuple[Action | None, ActionFacts]:
        """Give values (spec.tensor, in its own unit) to an effector of `apart`, if the policy allows it.

        Returns what was done, None when it was held. KeyError for a name that is not of `apart`.
        """
        driver = self._apart[name]
        driver.spec.check(values)
        decision = self._policy.decide(driver.spec, state, trust)
        if decision.is_allowed:
            driver.begin(driver.spec.limited(values), now_ns)
        else:
            driver.hold()
        return self._finish(driver, values, decision)

    @property
    def _all(self) -> tuple[EffectorDriver, ...]:
        return (*self._drivers, *self._apart.values())

    def _begin(
        self, driver: EffectorDriver, part: np.ndarray, state: State, trust: float, now_ns: int
    ) -> tuple[np.ndarray, Decision]:
        """The values for one effector, in its own unit, and the decision. part: (size,) in -1..1."""
        is_finite = bool(np.isfinite(part).all())
        requested = driver.spec.scaled(part) if is_finite else part
        decision = self._policy.decide(driver.spec, state, trust)
        if decision.is_allowed and not is_finite:
            decision = _NOT_FINITE
        if decision.is_allowed:
            driver.begin(requested, now_ns)
        else:
            driver.hold()
        return requested, decision

    def _finish(
        self, driver: EffectorDriver, requested: np.ndarray, decision: Decision
    ) -> tuple[Action | None, ActionFacts]:
        """What one effector did, None when it was held, and its facts in its own unit."""
        action = None
        verdict = "allow" if decision.is_allowed else "deny"
        reason = decision.reason
        if decision.is_allowed:
            try:
                action = driver.finish()
            except SensorError as error:  # counted by the driver, shown in the facts; the loop continues
                verdict = "fault"
                reason = str(error)
                if not isinstance(error, EffectorHeld):
                    self._on_fault(driver.spec.name, reason)
        facts = ActionFacts(
            effector=driver.spec.name,
            asked=tuple(requested.reshape(-1).tolist()),
            done=() if action is None else tuple(action.values.reshape(-1).tolist()),
            decision=verdict,
            reason=reason,
            is_held=action is None or action.is_held,
        )
        return action, facts
