"""Act: one vector for all effectors, each slice through the policy, and what was really done comes back.

Invariant: an effector is called only when a rule allows it; a held one is aborted once, when it is first
held.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from sage.runtime.report import ActionFacts, State
from sage.runtime.tick.policy import Policy
from sage.sensors.contract import Effector, SensorError


class EffectorGate:
    """The effectors of a run behind the policy. Action vector (A,) = their values, one after the other."""

    def __init__(self, effectors: Sequence[Effector], policy: Policy) -> None:
        self._effectors = tuple(effectors)
        self._policy = policy
        self._is_armed = [False] * len(self._effectors)
        self.size = sum(effector.spec.size for effector in self._effectors)
        self.num_faults = 0

    def open(self) -> None:
        for index, effector in enumerate(self._effectors):
            effector.open()
            self._is_armed[index] = True

    def close(self) -> None:
        """Hold all, then close all; an error is raised after all were closed."""
        self.hold_all()
        with ExitStack() as stack:
            for effector in self._effectors:
                stack.callback(effector.close)

    def hold_all(self) -> None:
        for index in range(len(self._effectors)):
            self._hold(index)

    def act(
        self, values: np.ndarray, state: State, trust: float, now_ns: int
    ) -> tuple[np.ndarray, tuple[ActionFacts, ...]]:
        """Ask each effector for its slice of `values` (A,); returns what was done (A,), 0 where held, and the
        facts.
        """
        done = np.zeros(self.size, dtype=np.float32)
        facts = []
        start = 0
        for index, effector in enumerate(self._effectors):
            own = slice(start, start + effector.spec.size)
            start = own.stop
            fact = self._act_one(index, effector, values[own], state, trust, now_ns)
            done[own] = fact.done if fact.done else 0.0
            facts.append(fact)
        return done, tuple(facts)

    def _act_one(
        self, index: int, effector: Effector, asked: np.ndarray, state: State, trust: float, now_ns: int
    ) -> ActionFacts:
        decision = self._policy.decide(effector.spec, state, trust)
        name, wanted = effector.spec.name, tuple(asked.tolist())
        if not decision.is_allowed:
            self._hold(index)
            return ActionFacts(
                effector=name, asked=wanted, done=(), decision="deny", reason=decision.reason, is_held=True
            )
        try:
            if not self._is_armed[index]:
                effector.open()
                self._is_armed[index] = True
            action = effector.apply(asked, now_ns)
            if len(action.values) not in (0, len(wanted)):
                raise SensorError(
                    f"{name}: it did {len(action.values)} values of {len(wanted)}: give as many as its spec"
                )
        except Exception as error:  # a plug-in's fault, counted and shown: it is held, the loop goes on
            self.num_faults += 1
            self._hold(index)
            reason = str(error) or type(error).__name__
            return ActionFacts(
                effector=name, asked=wanted, done=(), decision="fault", reason=reason, is_held=True
            )
        return ActionFacts(
            effector=name,
            asked=wanted,
            done=action.values,
            decision="allow",
            reason=decision.reason,
            is_held=action.is_held,
        )

    def _hold(self, index: int) -> None:
        if self._is_armed[index]:
            self._effectors[index].abort()
        self._is_armed[index] = False
