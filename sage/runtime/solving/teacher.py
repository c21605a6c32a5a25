"""Trust in the solutions that a stream shows: a Beta distribution on "the task's rules accept it".

Invariant: a solution that the rules refuse is never passed on, whatever the trust.
"""

from __future__ import annotations

import numpy as np

PRIOR_RIGHT, PRIOR_WRONG = 9.0, 1.0
#: Weight that earlier solutions keep when another one comes, as in sage.runtime.config.TrustConfig.
FORGETTING = 0.97
#: The trust never falls below this, so that a teacher that improves is noticed.
FLOOR = 0.05


class TeacherTrust:
    """The mean of the distribution, and how many solutions were shown and refused."""

    def __init__(self) -> None:
        self._right = PRIOR_RIGHT
        self._wrong = PRIOR_WRONG
        self.num_shown = 0
        self.num_refused = 0

    @property
    def trust(self) -> float:
        return max(FLOOR, self._right / (self._right + self._wrong))

    def note(self, is_accepted: bool) -> None:
        """One solution was shown. is_accepted: by the task's rules."""
        self._right = FORGETTING * self._right + float(is_accepted)
        self._wrong = FORGETTING * self._wrong + float(not is_accepted)
        self.num_shown += 1
        self.num_refused += not is_accepted

    def state(self) -> np.ndarray:
        """(2,)"""
        return np.array([self._right, self._wrong])

    def load_state(self, state: np.ndarray) -> None:
        right, wrong = (float(value) for value in state)
        self._right, self._wrong = right, wrong
