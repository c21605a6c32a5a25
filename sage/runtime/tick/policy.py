"""Whether an effector may act: denied unless a rule allows it (COGNITION.md, Policy). Every decision has a
reason.

Invariant: a deny rule that matches denies, whatever else matches; an effector that needs a starved modality
is denied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sage.runtime.config import PolicyConfig, PolicyRule, Verdict
from sage.runtime.report import NO_POSTURE, PostureFacts, State
from sage.sensors.contract import EffectorSpec

#: What proposes the actions of the loop's action head, and the answers of puzzle streams.
MODEL_ROLE, SOLVER_ROLE = "model", "solver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a decision depends on beside the effector: one tick's.

    trust: the weighted mean of the attended sources' trust, 0..1.
    """

    state: State
    trust: float
    posture: PostureFacts = NO_POSTURE
    tick: int = 0
    now_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    verdict: Verdict
    reason: str

    @property
    def is_allowed(self) -> bool:
        """Also with a warning."""
        return self.verdict != "deny"


class Policy:
    """The rules. Stateless: equal inputs give equal decisions."""

    def __init__(self, config: PolicyConfig) -> None:
        ordered = sorted(config.rules, key=lambda rule: -rule.priority)
        self._deny = tuple(rule for rule in ordered if rule.decision == "deny")
        self._allow = tuple(rule for rule in ordered if rule.decision != "deny")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that rules name."""
        return tuple(name for rule in (*self._deny, *self._allow) for name in (*rule.starved, *rule.needs))

    def decide(
        self,
        spec: EffectorSpec,
        situation: Situation,
        *,
        role: str = MODEL_ROLE,
        needs: Sequence[str] = (),
    ) -> Decision:
        """Whether this effector may act. role: what proposes the action.  needs: modalities."""
        for rule in self._deny:
            if _concerns(rule, spec, situation, role) and not _unmet(rule, situation):
                return _decided(rule, "denied")
        starved = [name for name in needs if name in situation.posture.starved]
        if starved:
            return Decision(verdict="deny", reason=f"needs {starved[0]}, which is starved")
        unmet = ""
        for rule in self._allow:
            if _concerns(rule, spec, situation, role):
                problem = _unmet(rule, situation)
                if not problem:
                    return _decided(rule, "allowed")
                unmet = unmet or problem
        state = situation.state.value
        return Decision(
            verdict="deny", reason=unmet or f"no rule allows {spec.effect}/{spec.target} in state {state}"
        )


def _decided(rule: PolicyRule, verb: str) -> Decision:
    return Decision(
        verdict=rule.decision, reason=rule.reason or f"{verb} by rule {rule.effect}/{rule.target}"
    )


def _concerns(rule: PolicyRule, spec: EffectorSpec, situation: Situation, role: str) -> bool:
    return (
        rule.effect in ("*", spec.effect)
        and rule.target in ("*", spec.target)
        and rule.role in ("*", role)
        and situation.state.value in rule.states
    )


def _unmet(rule: PolicyRule, situation: Situation) -> str:
    """Which bound of a rule does not hold, "" when all do. What is undefined (NaN) meets no bound."""
    posture = situation.posture
    bounds = (
        ("trust", situation.trust, rule.min_trust, "min_trust"),
        ("confidence", posture.confidence, rule.min_confidence, "min_confidence"),
        ("breadth", posture.breadth, rule.min_breadth, "min_breadth"),
    )
    for name, value, least, key in bounds:
        if least > 0 and not value >= least:
            return f"{name} {value:.2f} is below the rule's {key}"
    if rule.max_trust < 1 and not situation.trust <= rule.max_trust:
        return f"trust {situation.trust:.2f} is above the rule's max_trust"
    if rule.starved and not set(rule.starved) & set(posture.starved):
        return f"none of {', '.join(rule.starved)} is starved"
    starved = [name for name in rule.needs if name in posture.starved]
    return f"the rule needs {starved[0]}, which is starved" if starved else ""
