"""Trust switched off, for comparison: the trust in every source is 1, and everything else is still measured.

Invariant: surprise, conflict and noise are those of the form that it wraps.
"""

from __future__ import annotations

import numpy as np

from sage.runtime.config import TrustConfig
from sage.runtime.trust.contract import Evidence, TrustForm


class EvenTrust:
    """A TrustForm. form: learns as ever, and its trust is not used."""

    def __init__(self, form: TrustForm) -> None:
        self._form = form

    @property
    def trust(self) -> np.ndarray:
        return np.ones_like(self._form.trust)

    @property
    def nis(self) -> np.ndarray:
        return self._form.nis

    @property
    def responsibility(self) -> np.ndarray:
        return self._form.responsibility

    @property
    def is_stuck(self) -> np.ndarray:
        return self._form.is_stuck

    @property
    def is_judged(self) -> np.ndarray:
        return self._form.is_judged

    @property
    def noise(self) -> np.ndarray:
        return self._form.noise

    @property
    def verdict(self) -> np.ndarray:
        return self._form.verdict

    @property
    def share(self) -> np.ndarray:
        return self._form.share

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        self._form.change_context(before, after, left)

    def update(self, evidence: Evidence) -> None:
        self._form.update(evidence)

    def state(self) -> dict[str, np.ndarray]:
        return self._form.state()

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self._form.load_state(state)


def in_use(form: TrustForm, config: TrustConfig) -> TrustForm:
    """`form` itself, or with `trust.enabled` false an EvenTrust of it."""
    return form if config.enabled else EvenTrust(form)
