"""Act: the action vector of a tick goes through the policy to each effector, and what was done comes back.

Invariant: an effector is called only when a rule allows it, with finite values within its ranges; a held one
is aborted once, when it is first held. No call blocks the loop for longer than its time limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from sage.mailbox.clock import Clock, ManualClock
from sage.runtime.report import ActionFacts, State
from sage.runtime.tick.policy import Decision, Policy
from sage.sensors.contract import Effector, SensorError
from sage.sensors.driver.effector_driver import EffectorDriver

_NOT_FINITE = Decision(is_allowed=False, reason="the model's action is not finite")


class EffectorGate:
    """The effectors of a run behind the policy.

    An action vector (A,) has the values of all effectors, one after the other, each in -1..1 of its range.
    """

    def __init__(self, effectors: Sequence[Effector], policy: Policy, clock: Clock) -> None:
        is_inline = isinstance(clock, ManualClock)
        self._drivers = tuple(
            EffectorDriver(effector, clock=clock, is_inline=is_inline) for effector in effectors
        )
        self._policy = policy
        self.size = sum(driver.spec.size for driver in self._drivers)

    @property
    def num_faults(self) -> int:
        """Of all effectors, since the run began."""
        return sum(driver.num_faults for driver in self._drivers)

    def open(self) -> None:
        """Open every effector. Raises SensorError of the first that fails."""
        for driver in self._drivers:
            driver.open()

    def close(self) -> None:
        """Hold all, then close all; an error is raised after all were closed."""
        self.hold_all()
        with ExitStack() as stack:
            for driver in self._drivers:
                stack.callback(driver.close)

    def hold_all(self) -> None:
        for driver in self._drivers:
            driver.hold()

    def act(
        self, values: np.ndarray, state: State, trust: float, now_ns: int
    ) -> tuple[np.ndarray, tuple[ActionFacts, ...]]:
        """values: (A,) in -1..1. Returns what was done (A,) in -1..1, 0 where held, and the facts.

        All effectors act at the same time; each has until its own time limit.
        """
        parts = np.split(values, np.cumsum([driver.spec.size for driver in self._drivers])[:-1])
        decisions = []
        for driver, part in zip(self._drivers, parts):
            decision = self._policy.decide(driver.spec, state, trust)
            if decision.is_allowed and not np.isfinite(part).all():
                decision = _NOT_FINITE
            decisions.append(decision)
            if decision.is_allowed:
                driver.begin(driver.spec.scaled(part), now_ns)
            else:
                driver.hold()
        outcomes = [
            self._finish(driver, part, decision)
            for driver, part, decision in zip(self._drivers, parts, decisions)
        ]
        done = [np.zeros(0, dtype=np.float32), *(own for own, _ in outcomes)]
        return np.concatenate(done), tuple(fact for _, fact in outcomes)

    def _finish(
        self, driver: EffectorDriver, part: np.ndarray, decision: Decision
    ) -> tuple[np.ndarray, ActionFacts]:
        """One effector's part of what was done, in -1..1, and its facts, in its own unit."""
        spec = driver.spec
        held = np.zeros(spec.size, dtype=np.float32)
        if not decision.is_allowed:
            return held, _facts(driver, part, "deny", decision.reason)
        try:
            action = driver.finish()
        except SensorError as error:  # counted by the driver, shown in the facts; the loop continues
            return held, _facts(driver, part, "fault", str(error))
        facts = ActionFacts(
            effector=spec.name,
            asked=tuple(spec.scaled(part).reshape(-1).tolist()),
            done=tuple(action.values.reshape(-1).tolist()),
            decision="allow",
            reason=decision.reason,
            is_held=action.is_held,
        )
        return spec.normalized(action.values), facts


def _facts(driver: EffectorDriver, part: np.ndarray, decision: str, reason: str) -> ActionFacts:
    """Of an effector that did nothing."""
    spec = driver.spec
    is_finite = bool(np.isfinite(part).all())
    asked = spec.scaled(part).reshape(-1) if is_finite else part
    return ActionFacts(
        effector=spec.name,
        asked=tuple(asked.tolist()),
        done=(),
        decision=decision,
        reason=reason,
        is_held=True,
    )
