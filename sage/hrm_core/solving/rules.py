"""The rules that an answer is judged by."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Verifier(Protocol):
    """Checks answers by the rules of a task; every Task is one."""

    def verify(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """(N,) bool for inputs and answers (N, L)."""
        ...
