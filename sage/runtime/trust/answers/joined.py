"""One trust form for all sources of a run: a base form, and others for sources that are judged in groups.

Invariant: without other forms it is the base form, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sage.runtime.trust.contract import Evidence, HasVerdict, Judged, TrustForm


class JoinedTrust:
    """A TrustForm. parts: by name, the indices of the sources of a form, and the form.  prefix: of their
    names in a snapshot.
    """

    def __init__(
        self, base: TrustForm, parts: Mapping[str, tuple[np.ndarray, Judged]], *, prefix: str = "answers"
    ) -> None:
        self._base = base
        self._prefix = prefix
        self._parts = dict(parts)
        self._verdicts: list[tuple[np.ndarray, HasVerdict]] = [
            (indices, form) for indices, form in parts.values() if isinstance(form, HasVerdict)
        ]
        self._initial = {name: form.trust.copy() for name, (_, form) in parts.items()}

    @property
    def trust(self) -> np.ndarray:
        return self._joined(self._base.trust, "trust")

    @property
    def nis(self) -> np.ndarray:
        return self._joined(self._base.nis, "nis")

    @property
    def responsibility(self) -> np.ndarray:
        return self._joined(self._base.responsibility, "responsibility")

    @property
    def is_stuck(self) -> np.ndarray:
        return self._joined(self._base.is_stuck, "is_stuck")

    @property
    def is_judged(self) -> np.ndarray:
        judged = self._base.is_judged.copy()
        for name, (indices, form) in self._parts.items():
            judged[indices] = form.trust != self._initial[name]
        return judged

    @property
    def noise(self) -> np.ndarray:
        return self._base.noise

    @property
    def verdict(self) -> np.ndarray:
        """Of other forms than the base, where they have one: answers are counted when they are judged."""
        verdict = self._base.verdict.copy()
        for indices, form in self._verdicts:
            verdict[indices] = form.verdict
        return verdict

    @property
    def share(self) -> np.ndarray:
        return self._joined(self._base.share, "share")

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        self._base.change_context(before, after, left)
        for indices, form in self._parts.values():
            form.change_context(before[indices], after[indices], left[indices])

    def update(self, evidence: Evidence) -> None:
        """The other forms learn when their answers or measurements come."""
        self._base.update(evidence)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        state = self._base.state()
        for name, (_, form) in self._parts.items():
            state |= {f"{self._prefix}.{name}.{key}": array for key, array in form.state().items()}
        return state

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned. A form that the state does not have keeps its own."""
        self._base.load_state(state)
        for name, (_, form) in self._parts.items():
            start = f"{self._prefix}.{name}."
            own = {key.removeprefix(start): array for key, array in state.items() if key.startswith(start)}
            if own:
                form.load_state(own)

    def _joined(self, values: np.ndarray, attribute: str) -> np.ndarray:
        joined = values.copy()
        for indices, form in self._parts.values():
            joined[indices] = getattr(form, attribute)
        return joined
