"""Relays: a plug-in that proposes no action, a good one, or none that can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sage.mailbox.clock import ManualClock
from sage.mailbox.tensor_spec import TensorSpec
from sage.runtime.config import PolicyConfig, PolicyRule
from sage.runtime.report import State
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Policy, Situation
from sage.runtime.tick.relays import Relays
from sage.sensors.contract import EffectorSpec
from sage.sensors.effectors.holding import HoldingEffector

SPEC = EffectorSpec(
    name="arm", effect="motion", target="arm", tensor=TensorSpec(shape=(1,)), low=(-1.0,), high=(1.0,)
)
GOOD = np.array([0.5], dtype=np.float32)


class Proposing(HoldingEffector):
    """A relay whose next values are those of `proposed`, one a tick."""

    drives = ""

    def __init__(self, proposed: list[Callable[[], Any]]) -> None:
        super().__init__(SPEC)
        self._proposed = iter(proposed)
        self.discarded: list[int] = []

    def discard(self, now_ns: int) -> None:
        self.discarded.append(now_ns)

    def attach(self, device: Any) -> None: ...

    def next_values(self, now_ns: int) -> Any:
        return next(self._proposed)()


def raising() -> Any:
    raise KeyError("no chunk")


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


def panicking() -> Any:
    raise PanicException("index out of bounds")


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        (lambda: np.zeros(1), "float64"),
        (lambda: np.zeros(2, dtype=np.float32), "(2,)"),
        (lambda: [0.5], "ndarray"),
        (raising, "no chunk"),
        (panicking, "PanicException: index out of bounds"),
    ],
)
def test_a_wrong_action_is_a_fault_of_its_relay_and_the_device_is_held(
    wrong: Callable[[], Any], shown: str
) -> None:
    relay = Proposing([lambda: GOOD, wrong, wrong, lambda: GOOD, wrong])
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow"),)))
    gate = EffectorGate([], policy, ManualClock(), apart=[relay])
    gate.open()
    events: list[tuple[str, str, str]] = []
    relays = Relays([relay], lambda kind, message, source: events.append((kind, message, source)))
    facts = [relays.act(gate, Situation(state=State.WAKE, trust=1.0))[0] for _ in range(5)]
    assert [fact.decision for fact in facts] == ["allow", "fault", "fault", "allow", "fault"]
    assert [fact.is_held for fact in facts] == [False, True, True, False, True]
    assert shown in facts[1].reason
    assert [(kind, source) for kind, _, source in events] == [("fault", "arm")] * 2
    gate.close()


def test_what_was_proposed_before_a_break_is_discarded() -> None:
    """A stop and its release before the next tick, a stop that lasts, a pause, a fault and a denial; not an
    idle tick, nor an action that was done.
    """
    relay = Proposing([lambda: GOOD, lambda: None, *[lambda: GOOD] * 7])
    policy = Policy(PolicyConfig(rules=(PolicyRule(decision="allow", min_trust=0.5),)))
    gate = EffectorGate([], policy, ManualClock(), apart=[relay])
    gate.open()
    relays = Relays([relay], lambda *_: None)

    def tick(now_ns: int, trust: float = 1.0) -> str:
        facts = relays.act(gate, Situation(state=State.WAKE, trust=trust, now_ns=now_ns))
        return facts[0].decision if facts else "idle"

    assert [tick(1), tick(2), tick(3)] == ["allow", "idle", "allow"]
    assert relay.discarded == []
    gate.stop("test")
    assert gate.release(gate.num_stops)
    assert tick(4) == "allow"
    gate.stop("test")
    assert [tick(5), tick(6)] == ["deny", "deny"]
    assert gate.release(gate.num_stops)
    assert tick(7) == "allow"
    gate.hold_all()
    assert tick(8) == "allow"
    assert sorted(set(relay.discarded)) == [4, 5, 6, 7, 8]
    assert tick(9, trust=0.1) == "deny"
    assert relay.discarded[-1] == 9
    gate.close()
