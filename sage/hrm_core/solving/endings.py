"""Trust in what solves, plans or imagines, from how its work ended. Imports no torch.

Invariant: an ending that makes no claim (abstained, no_solution) changes no trust; it is counted.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np

from sage.errors import InputError
from sage.hrm_core.solving.solutions import Outcome

#: The words of `Outcome`, in order.
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
#: Evidence before the first ending, and the weight that earlier ones keep when another one comes.
PRIOR_RIGHT, PRIOR_WRONG, FORGETTING = 9.0, 1.0, 0.97
#: The trust never falls below this, so that a source that improves is noticed.
FLOOR = 0.05
#: Weight of a result as evidence. An answer that is given because the budget ran out claims less than one
#: that the Q head or the rules end.
WEIGHTS: dict[Outcome, float] = {"solved": 1.0, "halted": 1.0, "budget": 0.25, "diverged": 1.0}
#: What an ending is worth, 0..1, where nothing judges its result.
WORTH: dict[Outcome, float] = {"solved": 1.0, "halted": 0.5, "budget": 0.5, "diverged": 0.0}


class EndingTrust:
    """The mean of a Beta distribution on "the work was right", with forgetting (as TeacherTrust), and counts
    of endings.
    """

    def __init__(self) -> None:
        self._right = PRIOR_RIGHT
        self._wrong = PRIOR_WRONG
        self.counts: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)

    @property
    def trust(self) -> float:
        """0..1; NaN before the first ending."""
        if not any(self.counts.values()):
            return math.nan
        return max(FLOOR, self._right / (self._right + self._wrong))

    def note(self, outcome: Outcome, *, is_right: bool | None = None) -> None:
        """One piece of work ended. is_right: by its result; None where nothing judges it. InputError for
        another word.
        """
        if outcome not in self.counts:
            raise InputError(f"outcome is {outcome!r}: give one of {', '.join(OUTCOMES)}")
        self.counts[outcome] += 1
        weight = WEIGHTS.get(outcome, 0.0)
        if weight == 0.0:
            return
        worth = WORTH[outcome] if is_right is None else float(is_right and outcome != "diverged")
        kept = FORGETTING**weight
        self._right = kept * self._right + weight * worth
        self._wrong = kept * self._wrong + weight * (1.0 - worth)

    def state(self) -> np.ndarray:
        """(2 + outcomes,) float64."""
        return np.array([self._right, self._wrong, *self.counts.values()], np.float64)

    def load_state(self, state: np.ndarray) -> None:
        """InputError for an array of another length."""
        if state.shape != (2 + len(OUTCOMES),):
            raise InputError(f"trust by endings has shape {state.shape}: give ({2 + len(OUTCOMES)},)")
        self._right, self._wrong = (float(value) for value in state[:2])
        self.counts = {outcome: int(value) for outcome, value in zip(OUTCOMES, state[2:])}
