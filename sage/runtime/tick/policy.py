"""Whether an effector may act: denied unless a rule allows it (COGNITION.md, Policy). Every decision has a
reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.sensors.contract import EffectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    is_allowed: bool
    reason: str


class Policy:
    """The rules, deny first. Stateless: equal inputs give equal decisions."""

    def __init__(self, config: PolicyConfig) -> None:
        self._deny = tuple(rule for rule in config.rules if rule.decision == "deny")
        self._allow = tuple(rule for rule in config.rules if rule.decision == "allow")

    def decide(self, spec: EffectorSpec, state: State, trust: float) -> Decision:
        """Whether this effector may act. trust: the weighted mean of the attended sources' trust, 0..1."""
        for rule in self._deny:
            if _matches(rule, spec, state):
                return Decision(
                    is_allowed=False, reason=rule.reason or f"denied by rule {rule.effect}/{rule.target}"
                )
        low_trust = False
        for rule in self._allow:
            if _matches(rule, spec, state):
                if trust >= rule.min_trust:
                    return Decision(
                        is_allowed=True, reason=rule.reason or f"allowed by rule {rule.effect}/{rule.target}"
                    )
                low_trust = True
        if low_trust:
            return Decision(is_allowed=False, reason=f"trust {trust:.2f} is below the rule's min_trust")
        return Decision(
            is_allowed=False, reason=f"no rule allows {spec.effect}/{spec.target} in state {state.value}"
        )


def _matches(rule: PolicyRule, spec: EffectorSpec, state: State) -> bool:
    return (
        rule.effect in ("*", spec.effect) and rule.target in ("*", spec.target) and state.value in rule.states
    )
