"""Default deny."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import PostureFacts, State
from sage.runtime.tick.policy import Decision, Policy, Situation
from sage.sensors.contract import EffectorSpec

ARM = EffectorSpec(
    name="arm",
    effect="move",
    target="arm",
    tensor=TensorSpec(shape=(2,)),
    low=(-1.0, -1.0),
    high=(1.0, 1.0),
)


def test_without_a_matching_rule_an_effector_is_denied():
    decision = Policy(PolicyConfig()).decide(ARM, Situation(state=State.WAKE, trust=1.0))
    assert not decision.is_allowed
    assert "no rule allows move/arm" in decision.reason


def test_a_matching_rule_allows_in_its_states_only():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", effect="move", states=("wake",)),)))
    assert policy.decide(ARM, Situation(state=State.WAKE, trust=1.0)).is_allowed
    assert not policy.decide(ARM, Situation(state=State.DREAM, trust=1.0)).is_allowed


def test_deny_comes_before_allow_in_any_order():
    rules = (PolicyRule(decision="allow"), PolicyRule(decision="deny", target="arm", reason="it is broken"))
    decision = Policy(PolicyConfig(rules=rules)).decide(ARM, Situation(state=State.WAKE, trust=1.0))
    assert not decision.is_allowed
    assert decision.reason == "it is broken"


def test_low_trust_is_the_reason_in_the_decision():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", min_trust=0.5),)))
    assert "trust 0.20" in policy.decide(ARM, Situation(state=State.WAKE, trust=0.2)).reason


def situation(trust: float = 1.0, state: State = State.WAKE, **posture: Any) -> Situation:
    return Situation(state=state, trust=trust, posture=PostureFacts(**posture))


def test_an_effector_that_needs_a_starved_modality_is_denied():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow"),)))
    assert policy.decide(ARM, situation(), needs=["vision"]).is_allowed
    decision = policy.decide(ARM, situation(starved=("vision",)), needs=["touch", "vision"])
    assert decision == Decision(verdict="deny", reason="needs vision, which is starved")


def test_a_rule_may_need_a_modality_and_a_deny_rule_may_name_a_starved_one():
    needing = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", needs=("vision",)),)))
    assert needing.decide(ARM, situation()).is_allowed
    assert "needs vision" in needing.decide(ARM, situation(starved=("vision",))).reason
    rules = (PolicyRule(decision="allow"), PolicyRule(decision="deny", starved=("vision",), reason="blind"))
    assert Policy(PolicyConfig(rules=rules)).decide(ARM, situation(starved=("vision",))).reason == "blind"
    assert Policy(PolicyConfig(rules=rules)).decide(ARM, situation(starved=("touch",))).is_allowed


def test_the_allow_or_warn_rule_of_the_highest_priority_decides():
    rules = (PolicyRule(decision="allow"), PolicyRule(decision="warn", priority=1, reason="watch it"))
    decision = Policy(PolicyConfig(rules=rules)).decide(ARM, situation())
    assert decision == Decision(verdict="warn", reason="watch it")
    assert decision.is_allowed


def test_bounds_on_the_posture():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", min_confidence=0.5, min_breadth=0.2),)))
    assert policy.decide(ARM, situation(confidence=0.6, breadth=0.3)).is_allowed
    assert "confidence 0.40 is below" in policy.decide(ARM, situation(confidence=0.4, breadth=0.3)).reason
    assert "breadth nan" in policy.decide(ARM, situation(confidence=0.6)).reason
    assert not policy.decide(ARM, situation(breadth=0.3)).is_allowed


def test_a_role_is_matched():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", role="relay"),)))
    assert policy.decide(ARM, situation(), role="relay").is_allowed
    assert not policy.decide(ARM, situation()).is_allowed


NAMES = st.sampled_from(["*", "move", "speak"])
RULES = st.builds(
    PolicyRule,
    decision=st.sampled_from(["allow", "warn", "deny"]),
    effect=NAMES,
    states=st.sets(st.sampled_from(["wake", "rest", "dream", "crisis"]), min_size=1).map(tuple),
    min_trust=st.sampled_from([0.0, 0.5]),
    max_trust=st.sampled_from([0.4, 1.0]),
    starved=st.sampled_from([(), ("vision",)]),
    needs=st.sampled_from([(), ("touch",)]),
    priority=st.integers(-2, 2),
)
SITUATIONS = st.builds(
    situation,
    trust=st.sampled_from([0.0, 0.3, 0.45, 0.9, float("nan")]),
    state=st.sampled_from(State),
    starved=st.sampled_from([(), ("vision",), ("touch",), ("touch", "vision")]),
)


@given(st.lists(RULES, max_size=6), SITUATIONS, st.randoms())
def test_deny_wins_nothing_is_allowed_without_a_rule_and_order_does_not_matter(
    rules: list[PolicyRule], now: Situation, random: Any
):
    def alone(rule: PolicyRule) -> bool:
        """Whether this rule matches: as an allow rule, on its own, it allows."""
        only = rule.model_copy(update={"decision": "allow"})
        return Policy(PolicyConfig(rules=(only,))).decide(ARM, now).is_allowed

    decision = Policy(PolicyConfig(rules=tuple(rules))).decide(ARM, now)
    matching = [rule for rule in rules if alone(rule)]
    denied = any(rule.decision == "deny" for rule in matching)
    assert decision.is_allowed == (bool(matching) and not denied)
    assert decision.reason
    shuffled = rules.copy()
    random.shuffle(shuffled)
    assert Policy(PolicyConfig(rules=tuple(shuffled))).decide(ARM, now).is_allowed == decision.is_allowed
