"""EffectorGate: only what a rule allows reaches a device, and a device's fault ends at the device."""

from __future__ import annotations

import numpy as np
import pytest

from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Policy
from sage.sensors.contract import Action, EffectorSpec, SensorError

ALLOWED = PolicyConfig(rules=(PolicyRule(decision="allow", effect="move"),))


class Arm:
    """Does half of what it is asked. fault: raised instead.  short: does one value too few."""

    def __init__(self, name: str = "arm", size: int = 2, effect: str = "move") -> None:
        self.spec = EffectorSpec(name=name, effect=effect, target="self", size=size)
        self.calls: list[str] = []
        self.fault: Exception | None = None
        self.short = False

    def open(self) -> None:
        self.calls.append("open")

    def apply(self, values: np.ndarray, stamp_ns: int) -> Action:
        self.calls.append("apply")
        if self.fault is not None:
            raise self.fault
        return Action(values=tuple(float(value) / 2 for value in values[self.short :]), stamp_ns=stamp_ns)

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")


def test_each_gets_its_slice_and_what_was_done_comes_back():
    one, two = Arm("one", 2), Arm("two", 1)
    acting = EffectorGate([one, two], Policy(ALLOWED))
    acting.open()
    done, facts = acting.act(np.array([0.2, -0.4, 1.0], np.float32), State.WAKE, 1.0, 5)
    assert done == pytest.approx([0.1, -0.2, 0.5])
    assert [fact.asked for fact in facts] == [pytest.approx((0.2, -0.4)), (1.0,)]
    assert {fact.decision for fact in facts} == {"allow"}


def test_without_a_rule_nothing_is_done_and_it_is_held_once():
    arm = Arm()
    acting = EffectorGate([arm], Policy(PolicyConfig()))
    acting.open()
    for _ in range(3):
        done, (fact,) = acting.act(np.ones(2, np.float32), State.WAKE, 1.0, 0)
    assert not done.any()
    assert (fact.decision, fact.is_held) == ("deny", True)
    assert arm.calls == ["open", "abort"]


@pytest.mark.parametrize(
    "fault", [SensorError("jammed"), OSError("gone"), ZeroDivisionError("a plug-in's own")]
)
def test_a_fault_holds_the_device_is_counted_and_stops_nothing(fault: Exception):
    broken, well = Arm("broken"), Arm("well")
    acting = EffectorGate([broken, well], Policy(ALLOWED))
    acting.open()
    broken.fault = fault
    done, facts = acting.act(np.ones(4, np.float32), State.WAKE, 1.0, 0)
    assert done.tolist() == [0.0, 0.0, 0.5, 0.5]
    assert [fact.decision for fact in facts] == ["fault", "allow"]
    assert str(fault) in facts[0].reason
    assert acting.num_faults == 1
    assert broken.calls[-1] == "abort"
    broken.fault = None
    done, _ = acting.act(np.ones(4, np.float32), State.WAKE, 1.0, 0)
    assert done.tolist() == [0.5] * 4
    assert broken.calls[-2:] == ["open", "apply"]


def test_a_device_that_did_fewer_values_than_it_has_is_at_fault():
    arm = Arm()
    arm.short = True
    acting = EffectorGate([arm], Policy(ALLOWED))
    acting.open()
    done, (fact,) = acting.act(np.ones(2, np.float32), State.WAKE, 1.0, 0)
    assert fact.decision == "fault"
    assert not done.any()


def test_all_are_held_and_closed_even_when_one_does_not_close():
    one, two = Arm("one"), Arm("two")

    def stuck() -> None:
        raise OSError("stuck")

    one.close = stuck
    acting = EffectorGate([one, two], Policy(ALLOWED))
    acting.open()
    with pytest.raises(OSError, match="stuck"):
        acting.close()
    assert two.calls == ["open", "abort", "close"]
    assert one.calls == ["open", "abort"]


def test_what_was_opened_before_another_failed_is_held_at_the_end():
    one, two = Arm("one"), Arm("two")

    def missing() -> None:
        raise SensorError("two: not there")

    two.open = missing
    acting = EffectorGate([one, two], Policy(ALLOWED))
    with pytest.raises(SensorError, match="not there"):
        acting.open()
    acting.close()
    assert one.calls == ["open", "abort", "close"]


def test_with_no_effector_there_is_nothing_to_do():
    acting = EffectorGate([], Policy(PolicyConfig()))
    done, facts = acting.act(np.zeros(0, np.float32), State.WAKE, 1.0, 0)
    assert done.shape == (0,)
    assert facts == ()
