"""The conditions that end a run before its last step.

Invariant: a function of the steps' figures only, so that every rank decides alike.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from sage.hrm_core.training.config import TrainConfig
from sage.hrm_core.training.errors import TrainingDiverged
from sage.hrm_core.training.learner import StepFacts


class StopRule:
    """Ends a run when training rows are nearly all exact, the Q loss diverges, or steps are not finite."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._finished: deque[tuple[float, int]] = deque(maxlen=config.stop_window)
        self._q_losses: deque[float] = deque(maxlen=config.stop_window)
        self.num_bad = 0
        self.num_bad_in_a_row = 0

    def note(self, facts: StepFacts) -> None:
        """Record a step. Raises TrainingDiverged if too many in a row were not finite."""
        if not facts.is_finite:
            self.num_bad += 1
            self.num_bad_in_a_row += 1
            if self.num_bad_in_a_row >= self._config.max_bad_steps:
                raise TrainingDiverged(
                    f"step {facts.step}: loss or gradient was not finite {self.num_bad_in_a_row} steps in a"
                    " row: lower the learning rate or set clip_norm"
                )
            return
        self.num_bad_in_a_row = 0
        figures = facts.figures
        self._q_losses.append(figures["q_halt_loss"] + figures["q_continue_loss"])
        if facts.num_finished:
            self._finished.append((figures["exact_accuracy"] * facts.num_finished, facts.num_finished))

    @property
    def train_exact(self) -> float:
        """Share of finished training rows in the window that are exact; nan before the first."""
        num = sum(count for _, count in self._finished)
        return sum(exact for exact, _ in self._finished) / num if num else math.nan

    def reason(self) -> str | None:
        """The reason to end the run now, in one line, or None."""
        limit, q_limit = self._config.stop_at_exact, self._config.stop_at_q_loss
        is_full = len(self._q_losses) == self._config.stop_window
        if limit is not None and is_full and self.train_exact >= limit:
            return f"{self.train_exact:.1%} of the recently finished training rows are exact"
        if q_limit is not None and is_full and (mean := sum(self._q_losses) / len(self._q_losses)) > q_limit:
            return (
                f"the Q loss diverged: {mean:.3g} over {len(self._q_losses)} steps, above stop_at_q_loss"
                f" {q_limit:g}"
            )
        return None

    def state(self) -> dict[str, Any]:
        return {
            "finished": [list(each) for each in self._finished],
            "q_losses": list(self._q_losses),
            "num_bad": self.num_bad,
            "num_bad_in_a_row": self.num_bad_in_a_row,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self._finished.clear()
        self._finished.extend((exact, count) for exact, count in state["finished"])
        self._q_losses.clear()
        self._q_losses.extend(state["q_losses"])
        self.num_bad, self.num_bad_in_a_row = state["num_bad"], state["num_bad_in_a_row"]
