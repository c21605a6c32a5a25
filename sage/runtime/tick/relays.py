"""Actions that come from plug-ins, such as a remote policy: asked for in every tick, decided like any other.

Invariant: an effector behind a relay is only called through the gate; without an action it is held. A relay
that fails, or returns values of another form, is a fault of its own and not of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sage.errors import InputError
from sage.runtime.report import ActionFacts
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Situation
from sage.sensors.relay import Relay

#: What proposes these actions, for the policy's rules.
RELAY_ROLE = "relay"


class Relays:
    """The relays of a run; the gate has each as an effector apart from the action vector.

    emit: called with "fault", the reason and the relay's name when it fails, not again until it has not
    failed or fails for another reason.
    """

    def __init__(self, relays: Sequence[Relay], emit: Callable[[str, str, str], None]) -> None:
        self._relays = {relay.spec.name: relay for relay in relays}
        self._emit = emit
        self._failed: dict[str, str] = {}

    def act(self, gate: EffectorGate, situation: Situation) -> tuple[ActionFacts, ...]:
        """One action of each relay that has one; the others are held."""
        facts = []
        for name, relay in self._relays.items():
            try:
                values = _next_values(relay, situation.now_ns)
            except Exception as error:  # around a plug-in
                gate.rest(name)
                kind = type(error).__name__
                facts.append(self._fault(name, kind, f"no action: {kind}: {error}"))
                continue
            self._failed.pop(name, None)
            if values is None:
                gate.rest(name)
            else:
                facts.append(gate.submit(name, values, situation, role=RELAY_ROLE)[1])
        return tuple(facts)

    def _fault(self, name: str, kind: str, reason: str) -> ActionFacts:
        """An event where the kind of error is new: a text may have a time or a count."""
        if self._failed.get(name) != kind:
            self._failed[name] = kind
            self._emit("fault", reason, name)
        return ActionFacts(effector=name, asked=(), done=(), decision="fault", reason=reason, is_held=True)


def _next_values(relay: Relay, now_ns: int) -> np.ndarray | None:
    """Raises what the relay raises, and InputError for values of another form."""
    values = relay.next_values(now_ns)
    if values is None:
        return None
    if not isinstance(values, np.ndarray):
        raise InputError(f"{relay.spec.name}: values are {type(values).__name__}: give a numpy.ndarray")
    relay.spec.check(values)
    return values
