"""Actions that come from plug-ins, such as a remote policy: asked for in every tick, decided like any other.

Invariant: an effector behind a relay is only called through the gate; without an action it is held.
"""

from __future__ import annotations

from collections.abc import Sequence

from sage.runtime.report import ActionFacts
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Situation
from sage.sensors.relay import Relay

#: What proposes these actions, for the policy's rules.
RELAY_ROLE = "relay"


class Relays:
    """The relays of a run; the gate has each as an effector apart from the action vector."""

    def __init__(self, relays: Sequence[Relay]) -> None:
        self._relays = tuple(relays)

    def act(self, gate: EffectorGate, situation: Situation) -> tuple[ActionFacts, ...]:
        """One action of each relay that has one; the others are held."""
        facts = []
        for relay in self._relays:
            name = relay.spec.name
            values = relay.next_values(situation.now_ns)
            if values is None:
                gate.rest(name)
            else:
                facts.append(gate.submit(name, values, situation, role=RELAY_ROLE)[1])
        return tuple(facts)
