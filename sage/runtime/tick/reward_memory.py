"""The sidecar in the loop: contexts bound to the reward that follows in a world, beside the value head.

Invariant: it exists only in a run with a source that observes a reward; a tick without such a reading counts
as reward 0 once one came, because rewards may be late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage.memory.sidecar.returns import Credited
from sage.memory.sidecar.value_sidecar import Step, ValueSidecar
from sage.runtime.report import NAN
from sage.runtime.tick.facts import mean_of

#: Share of the past that the comparison of the two predictors keeps from one return to the next.
RETAINED = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One tick of the sidecar.

    reward_error: reward + discount V(now) - V(before), V the mean of both predictors by `share`; NaN in a
    tick without reward.  The errors are mean squares over the returns known this tick, NaN without one.
    share: of the sidecar, 0..1, NaN before the first return.
    """

    num_bound: int = 0
    reward_error: float = NAN
    sidecar_error: float = NAN
    value_error: float = NAN
    share: float = NAN


def merged(bounds: Sequence[Bound]) -> Bound:
    """The tick of several worlds: their largest error of a reward, and means of what the others have."""
    if len(bounds) < 2:
        return bounds[0] if bounds else Bound()
    errors = [bound.reward_error for bound in bounds if math.isfinite(bound.reward_error)]

    def mean(name: str) -> float:
        values = [getattr(bound, name) for bound in bounds]
        return mean_of(np.array([value for value in values if math.isfinite(value)]))

    return Bound(
        num_bound=sum(bound.num_bound for bound in bounds),
        reward_error=max(errors, key=abs, default=NAN),
        sidecar_error=mean("sidecar_error"),
        value_error=mean("value_error"),
        share=mean("share"),
    )


class RewardMemory:
    """Owns the sidecar of a world and compares its predictions with the value head's, on the same returns."""

    def __init__(self, key_dim: int, *, discount: float = 0.95, reward_scale: float = 1.0) -> None:
        self.sidecar = ValueSidecar(key_dim, discount=discount)
        self._discount = discount
        self._reward_scale = reward_scale
        self._has_reward = False
        self._last_value = NAN
        # Sums over returns: (return - value head) * difference, and difference^2, of the two predictors.
        self._gain = np.zeros(2)

    @property
    def share(self) -> float:
        """The weight of the sidecar that minimises the squared error of the mean of both predictors."""
        covered, total = self._gain
        return float(np.clip(covered / total, 0.0, 1.0)) if total > 0 else NAN

    def bind(self, key: np.ndarray, reward: float, value: float, *, is_end: bool, is_cut: bool) -> Bound:
        """One tick. key (key_dim,): the context now.  reward: came with it, NaN without a reading.  value: of
        the model's value head.  is_end: an episode ended with this reward.  is_cut: it was cut off.
        """
        came = math.isfinite(reward)
        self._has_reward |= came
        if not self._has_reward or not math.isfinite(value):
            self._last_value = NAN
            self.sidecar.break_off()
            return Bound(num_bound=self.sidecar.num_writes)
        if is_cut:
            self.sidecar.break_off()
            self._last_value = NAN
        scaled = reward * self._reward_scale if came else 0.0
        credited = self.sidecar.learn(key, scaled, is_end=is_end, rival=value)
        for each in credited:
            difference = each.value - each.item.rival
            self._gain = RETAINED * self._gain + difference * np.array(
                [each.credit - each.item.rival, difference]
            )
        blend = self._blended(key, value)
        onward = 0.0 if is_end else self._discount * blend
        error = scaled + onward - self._last_value if came else NAN
        self._last_value = blend
        return Bound(
            num_bound=self.sidecar.num_writes,
            reward_error=error,
            sidecar_error=_mean_square(credited, [each.value for each in credited]),
            value_error=_mean_square(credited, [each.item.rival for each in credited]),
            share=self.share,
        )

    def _blended(self, key: np.ndarray, value: float) -> float:
        share = self.share
        return value if math.isnan(share) else share * self.sidecar.predict(key) + (1.0 - share) * value

    def state(self) -> dict[str, np.ndarray]:
        return {**self.sidecar.state(), "gain": self._gain.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """An empty state, of a snapshot written before there was a sidecar, changes nothing."""
        if not state:
            return
        self.sidecar.load_state(state)
        self._gain = np.array(state["gain"], float)
        self._has_reward = self.sidecar.num_writes > 0


def _mean_square(credited: list[Credited[Step]], predicted: list[float]) -> float:
    errors = [(each.credit - one) ** 2 for each, one in zip(credited, predicted)]
    return float(np.mean(errors)) if errors else NAN
