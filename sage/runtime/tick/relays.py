"""Actions that come from plug-ins, such as a remote policy: asked for in every tick, decided like any other.

Invariant: an effector behind a relay is only called through the gate; without an action it is held. After a
stop, a release, a pause, a denial or a fault no action rests on an earlier observation. A relay that fails,
or returns values of another form, is a fault of its own and not of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sage.errors import InputError, pass_on
from sage.runtime.report import ActionFacts
from sage.runtime.tick.effector_gate import EffectorGate
from sage.runtime.tick.policy import Situation
from sage.sensors.relay import Relay

#: What proposes these actions, for the policy's rules.
RELAY_ROLE = "relay"
#: Decisions after which what the relay had proposed is out of date.
BREAKS = ("deny", "fault")


class Relays:
    """The relays of a run; the gate has each as an effector apart from the action vector.

    emit: called with "fault", the reason and the relay's name when it fails, not again until it has not
    failed or fails for another reason.
    """

    def __init__(self, relays: Sequence[Relay], emit: Callable[[str, str, str], None]) -> None:
        self._relays = {relay.spec.name: relay for relay in relays}
        self._emit = emit
        self._failed: dict[str, str] = {}
        self._num_holds = 0

    def act(self, gate: EffectorGate, situation: Situation) -> tuple[ActionFacts, ...]:
        """One action of each relay that has one; the others are held."""
        is_break, self._num_holds = gate.num_holds != self._num_holds, gate.num_holds
        found = [self._act(gate, name, situation, is_break) for name in self._relays]
        return tuple(fact for fact in found if fact is not None)

    def _act(self, gate: EffectorGate, name: str, situation: Situation, is_break: bool) -> ActionFacts | None:
        relay = self._relays[name]
        try:
            if is_break:
                relay.discard(situation.now_ns)
            values = _next_values(relay, situation.now_ns)
        except BaseException as error:  # around a plug-in
            pass_on(error)
            gate.rest(name)
            return self._fault(name, error)
        if values is None:
            self._failed.pop(name, None)
            gate.rest(name)
            return None
        fact = gate.submit(name, values, situation, role=RELAY_ROLE)[1]
        if fact.decision in BREAKS:
            try:
                relay.discard(situation.now_ns)
            except BaseException as error:  # around a plug-in; the effector is held
                pass_on(error)
                return self._fault(name, error)
        self._failed.pop(name, None)
        return fact

    def _fault(self, name: str, error: BaseException) -> ActionFacts:
        """An event where the kind of error is new: a text may have a time or a count."""
        kind = type(error).__name__
        reason = f"no action: {kind}: {error}"
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
