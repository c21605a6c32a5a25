"""EffectorGate: only what a rule allows reaches a device, and a device's fault ends at the device."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock, RealClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Policy, Situation
from sage.sensors.contract import Action, EffectorSpec, SensorError

ALLOWED = PolicyConfig(rules=(PolicyRule(decision="allow", effect="move"),))


def at(now_ns: int) -> Situation:
    return Situation(state=State.WAKE, trust=1.0, now_ns=now_ns)


class Arm:
    """Does half of what is requested. fault: raised instead.  gate: `apply` waits for it."""

    def __init__(
        self,
        name: str = "arm",
        size: int = 2,
        effect: str = "move",
        low: float = -1.0,
        high: float = 1.0,
        timeout_secs: float = 10.0,
    ) -> None:
        self.spec = EffectorSpec(
            name=name,
            effect=effect,
            target="self",
            tensor=TensorSpec(shape=(size,)),
            low=(low,) * size,
            high=(high,) * size,
            timeout_secs=timeout_secs,
        )
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.gate: threading.Event | None = None
        self.aborted = threading.Event()

    def open(self) -> None:
        self.calls.append("open")

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        self.calls.append("apply")
        if self.gate is not None:
            self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return Action(spec=self.spec, values=values / 2, stamp_ns=stamp_ns)

    def abort(self) -> None:
        self.calls.append("abort")
        self.aborted.set()

    def close(self) -> None:
        self.calls.append("close")


def test_each_effector_gets_its_part_and_returns_what_was_done():
    one, two = Arm("one", 2), Arm("two", 1)
    acting = EffectorGate([one, two], Policy(ALLOWED), ManualClock())
    acting.open()
    done, facts = acting.act(np.array([0.2, -0.4, 1.0], np.float32), at(5))
    assert done == pytest.approx([0.1, -0.2, 0.5])
    assert [fact.asked for fact in facts] == [pytest.approx((0.2, -0.4)), (1.0,)]
    assert {fact.decision for fact in facts} == {"allow"}


def test_an_action_that_the_device_held_is_0_for_memory_and_its_values_are_in_the_facts():
    arm = Arm(low=0.0, high=40.0)
    arm.apply = lambda values, stamp_ns: Action(
        spec=arm.spec, values=np.full(2, 10.0, np.float32), stamp_ns=stamp_ns, is_held=True
    )
    acting = EffectorGate([arm], Policy(ALLOWED), ManualClock())
    acting.open()
    done, (fact,) = acting.act(np.ones(2, np.float32), at(0))
    assert done.tolist() == [0.0, 0.0]
    assert (fact.is_held, fact.done) == (True, (10.0, 10.0))


def test_without_a_rule_an_effector_is_held_once():
    arm = Arm()
    acting = EffectorGate([arm], Policy(PolicyConfig()), ManualClock())
    acting.open()
    for _ in range(3):
        done, (fact,) = acting.act(np.ones(2, np.float32), at(0))
    assert not done.any()
    assert (fact.decision, fact.is_held) == ("deny", True)
    assert arm.calls == ["open", "abort"]


@pytest.mark.parametrize(
    "fault", [SensorError("jammed"), OSError("gone"), ZeroDivisionError("a plug-in's own")]
)
def test_a_fault_holds_the_device_is_counted_and_stops_nothing(fault: Exception):
    broken, well = Arm("broken"), Arm("well")
    clock = ManualClock()
    faults: list[tuple[str, str]] = []
    acting = EffectorGate([broken, well], Policy(ALLOWED), clock, lambda *each: faults.append(each))
    acting.open()
    broken.fault = fault
    done, facts = acting.act(np.ones(4, np.float32), at(0))
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert [fact.decision for fact in facts] == ["fault", "allow"]
    assert str(fault) in facts[0].reason
    assert acting.num_faults == 1
    assert broken.calls[-1] == "abort"
    broken.fault = None
    done, facts = acting.act(np.ones(4, np.float32), at(0))
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert "in quarantine" in facts[0].reason
    clock.advance(500_000_000)
    done, _ = acting.act(np.ones(4, np.float32), at(0))
    assert done.tolist() == [0.5] * 4
    assert broken.calls[-2:] == ["open", "apply"]
    assert acting.num_faults == 1
    ((name, reason),) = faults
    assert name == "broken"
    assert str(fault) in reason


def test_a_failed_abort_of_a_denied_effector_is_a_fault_and_is_tried_again():
    arm, clock = Arm(), ManualClock()
    faults: list[tuple[str, str]] = []
    acting = EffectorGate([arm], Policy(PolicyConfig()), clock, lambda *each: faults.append(each))
    acting.open()
    abort = arm.abort

    def broken() -> None:
        abort()
        raise OSError("bus dead")

    arm.abort = broken
    for _ in range(3):
        _, (fact,) = acting.act(np.ones(2, np.float32), at(0))
        assert fact.decision == "deny"
    assert faults == [("arm", "arm: abort failed: bus dead")]
    clock.advance(500_000_000)
    acting.hold_all()
    assert len(faults) == acting.num_faults == 2
    with pytest.raises(SensorError, match="arm: closed, but no abort has succeeded"):
        acting.close()
    assert arm.calls == ["open", "abort", "abort", "abort", "close"]


def test_an_effector_that_hangs_does_not_block_the_others_or_the_loop():
    stuck, well = Arm("stuck", timeout_secs=0.01), Arm("well")
    acting = EffectorGate([stuck, well], Policy(ALLOWED), RealClock())
    acting.open()
    stuck.gate = threading.Event()
    done, facts = acting.act(np.ones(4, np.float32), at(0))
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert facts[0].reason == "stuck: apply has not returned within 0.01 s"
    assert facts[0].is_held
    assert stuck.aborted.wait(10)
    done, facts = acting.act(np.ones(4, np.float32), at(0))
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert "in quarantine" in facts[0].reason
    assert stuck.calls.count("apply") == 1
    stuck.gate.set()
    acting.close()


def test_actions_are_in_the_devices_unit_and_memory_in_minus_1_to_1():
    arm = Arm(low=0.0, high=40.0)
    acting = EffectorGate([arm], Policy(ALLOWED), ManualClock())
    acting.open()
    done, (fact,) = acting.act(np.array([0.0, 1.0], np.float32), at(0))
    assert fact.asked == (20.0, 40.0)
    assert fact.done == (10.0, 20.0)
    assert done.tolist() == [-0.5, 0.0]


def test_an_action_that_is_not_finite_never_reaches_a_device():
    arm, other = Arm("arm"), Arm("other")
    acting = EffectorGate([arm, other], Policy(ALLOWED), ManualClock())
    acting.open()
    done, facts = acting.act(np.array([np.nan, 0.0, 1.0, 1.0], np.float32), at(0))
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert [fact.decision for fact in facts] == ["deny", "allow"]
    assert arm.calls == ["open", "abort"]


def test_all_are_held_and_closed_even_when_one_does_not_close():
    one, two = Arm("one"), Arm("two")

    def stuck() -> None:
        raise OSError("stuck")

    one.close = stuck
    acting = EffectorGate([one, two], Policy(ALLOWED), ManualClock())
    acting.open()
    with pytest.raises(SensorError, match="one: close: OSError: stuck"):
        acting.close()
    assert two.calls == ["open", "abort", "close"]
    assert one.calls == ["open", "abort"]


def test_an_effector_opened_before_another_failed_is_held_at_the_end():
    one, two = Arm("one"), Arm("two")

    def missing() -> None:
        raise SensorError("two: not there")

    two.open = missing
    acting = EffectorGate([one, two], Policy(ALLOWED), ManualClock())
    with pytest.raises(SensorError, match="not there"):
        acting.open()
    acting.close()
    assert one.calls == ["open", "abort", "close"]


def test_with_no_effector_the_action_is_empty():
    acting = EffectorGate([], Policy(PolicyConfig()), ManualClock())
    done, facts = acting.act(np.zeros(0, np.float32), at(0))
    assert done.shape == (0,)
    assert facts == ()


def test_an_effector_apart_gets_given_values_and_is_no_part_of_the_action_vector():
    arm, hand = Arm("arm", 2), Arm("hand", 3, low=0.0, high=8.0)
    acting = EffectorGate([arm], Policy(ALLOWED), ManualClock(), apart=[hand])
    acting.open()
    assert acting.size == 2
    done, facts = acting.submit("hand", np.array([2.0, 4.0, 99.0], np.float32), at(5), role="solver")
    assert done is not None
    assert done.values == pytest.approx([1.0, 2.0, 4.0])
    assert (facts.effector, facts.decision) == ("hand", "allow")
    assert "apply" not in arm.calls
    acting.close()
    assert hand.calls[-1] == "close"


def test_a_denied_submission_holds_the_effector():
    hand = Arm("hand", 3)
    acting = EffectorGate([], Policy(PolicyConfig()), ManualClock(), apart=[hand])
    acting.open()
    done, facts = acting.submit("hand", np.zeros(3, np.float32), at(5), role="solver")
    assert done is None
    assert (facts.decision, facts.is_held) == ("deny", True)
    assert hand.calls == ["open", "abort"]
