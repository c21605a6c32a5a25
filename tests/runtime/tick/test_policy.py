"""Default deny."""

from __future__ import annotations

from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.runtime.tick.policy import Policy
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
    decision = Policy(PolicyConfig()).decide(ARM, State.WAKE, 1.0)
    assert not decision.is_allowed
    assert "no rule allows move/arm" in decision.reason


def test_a_matching_rule_allows_in_its_states_only():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", effect="move", states=("wake",)),)))
    assert policy.decide(ARM, State.WAKE, 1.0).is_allowed
    assert not policy.decide(ARM, State.DREAM, 1.0).is_allowed


def test_deny_comes_before_allow_in_any_order():
    rules = (PolicyRule(decision="allow"), PolicyRule(decision="deny", target="arm", reason="it is broken"))
    decision = Policy(PolicyConfig(rules=rules)).decide(ARM, State.WAKE, 1.0)
    assert not decision.is_allowed
    assert decision.reason == "it is broken"


def test_low_trust_is_the_reason_in_the_decision():
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", min_trust=0.5),)))
    assert "trust 0.20" in policy.decide(ARM, State.WAKE, 0.2).reason
