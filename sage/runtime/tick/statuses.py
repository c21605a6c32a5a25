"""The statuses of the sources from tick to tick, their health, and which are not believed.

Invariant: every change of a status or of a health is one event, and so is the begin and the end of readings
that are replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sage.runtime.prediction import substitute_rules as rules
from sage.sensors.contract import SensorSpec
from sage.sensors.driver.sensor_driver import SourceState

_REPLACED = {
    rules.NONE: "its readings are predicted from again",
    rules.STEP: "a jump beyond its record, which no other source shares: its readings are predicted from"
    " without the jump",
    rules.FROZEN: "it stands still, which it never did: its readings are replaced by what the others give",
}


class Statuses:
    """current: of each source, in order.  is_running: (N,) bool.  emit(kind, message, source): creates an
    event.
    """

    def __init__(self, specs: Sequence[SensorSpec], emit: Callable[[str, str, str], None]) -> None:
        self.current = ["starting"] * len(specs)
        self.is_running = np.zeros(len(specs), dtype=bool)
        self.is_quarantined = np.zeros(len(specs), dtype=bool)
        self._is_over = False
        self._healths = [""] * len(specs)
        self._replaced = np.full(len(specs), rules.NONE)
        self._specs = tuple(specs)
        self._emit = emit

    def note(self, states: Sequence[SourceState]) -> bool:
        """One tick's. Whether every physical source is exhausted, which ends the run; disabled ones do not
        count.
        """
        current: list[str] = [state.status for state in states]
        healths = [state.health for state in states]
        if current != self.current or healths != self._healths:
            self._note_changes(states)
            self.current, self._healths = current, healths
            self.is_running = np.array([status == "running" for status in current])
            self.is_quarantined = np.array([status == "quarantined" for status in current])
            physical = [
                status
                for status, spec in zip(current, self._specs)
                if spec.modality == "physical" and status != "disabled"
            ]
            self._is_over = bool(physical) and all(status == "exhausted" for status in physical)
        return self._is_over

    def note_replaced(self, kind: np.ndarray) -> None:
        """kind: (N,) of `Substitutes`, after this tick's readings."""
        if (kind == self._replaced).all():
            return
        for index in np.flatnonzero(kind != self._replaced).tolist():
            self._emit("replaced", _REPLACED[int(kind[index])], self._specs[index].name)
        self._replaced = kind.copy()

    def _note_changes(self, states: Sequence[SourceState]) -> None:
        for index, (spec, state) in enumerate(zip(self._specs, states)):
            old = self.current[index]
            if state.status != old:
                reason = f": {state.last_error}" if state.last_error else ""
                self._emit("source", f"{old} -> {state.status}{reason}", spec.name)
            if state.health != self._healths[index]:
                self._emit("health", _described(state), spec.name)


def _described(state: SourceState) -> str:
    return f"{state.health} (quality {state.quality:.2f})" if state.health else "without fault again"
