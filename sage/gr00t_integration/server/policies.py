"""What a local server answers with: the contract, and a policy for a simulated arm that follows a rule.

Invariant: equal observations and an equal number of calls since `reset` give equal actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation


class ServedPolicy(Protocol):
    """about: one line for people and for the server's metadata."""

    @property
    def about(self) -> str: ...

    def act(self, observation: Observation) -> dict[str, np.ndarray]:
        """name -> (B, horizon, D) float32, for an observation that has passed the checks."""
        ...

    def reset(self, options: Any) -> dict[str, Any]:
        """Begin an episode; returns facts about it."""
        ...


class ScriptedPolicy:
    """Moves each action key in a straight line from the state of the same name to a target.

    A key without a state of its size goes to the target at once. target: (size,) of the embodiment; the
    middle of the ranges when None. max_step: the largest change of one number in one step, as a part of its
    range.
    """

    def __init__(
        self, embodiment: Embodiment, *, target: Sequence[float] | None = None, max_step: float = 0.02
    ) -> None:
        low, high = np.array(embodiment.action_low), np.array(embodiment.action_high)
        goal = (low + high) / 2 if target is None else np.array(target, dtype=np.float64)
        if goal.shape != low.shape or not np.isfinite(goal).all():
            raise InputError(
                f"target: {goal.size} numbers: give {low.size} finite ones:"
                f" {', '.join(embodiment.action_channels)}"
            )
        if not 0 < max_step <= 1:
            raise InputError(f"max_step is {max_step}: give a part of the range, above 0 and at most 1")
        self._embodiment = embodiment
        self._targets = embodiment.parted(np.clip(goal, low, high))
        self._steps = embodiment.parted((high - low) * max_step)
        self._low, self._high = embodiment.parted(low), embodiment.parted(high)

    @property
    def about(self) -> str:
        return "scripted policy: a straight line to a target"

    def act(self, observation: Observation) -> dict[str, np.ndarray]:
        horizon = self._embodiment.action.horizon
        counts = np.arange(1, horizon + 1)[None, :, None]
        actions = {}
        for name, target in self._targets.items():
            state = observation.state.get(name)
            has_state = state is not None and state.shape[-1] == len(target)
            start = state[:, -1:, :] if state is not None and has_state else target[None, None, :]
            start = np.clip(start, self._low[name], self._high[name])
            limit = self._steps[name][None, None, :] * counts
            path = start + np.clip(target - start, -limit, limit)
            shape = (observation.batch_size, horizon, len(target))
            actions[name] = np.broadcast_to(path, shape).astype(np.float32)
        return actions

    def reset(self, options: Any) -> dict[str, Any]:
        return {}
