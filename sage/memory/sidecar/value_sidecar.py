"""The sidecar: fast weights that bind the context to the discounted reward that follows it.

Invariant: constant size; one write a step at most, but at the end of an episode, where the open steps are
written together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sage.errors import DataError, InputError
from sage.memory.sidecar.fast_weights import DeltaRule, FastWeights, RecursiveLeastSquares
from sage.memory.sidecar.returns import Credited, ReturnTraces

FEATURE_SEED = 20262
#: Lengths, relative to a typical distance of two keys, over which the random features vary.
BANDWIDTHS = (1.0, 0.3)


class KeyFeatures:
    """1, the key, and cosines of random projections of it (Rahimi and Recht 2007): linear weights on these
    are a smooth function of the key. Keys are expected to have entries of about unit variance.

    num_waves: random features; 0 leaves 1 and the key.
    """

    def __init__(self, key_dim: int, num_waves: int) -> None:
        generator = np.random.default_rng(FEATURE_SEED)
        typical = math.sqrt(2.0 * key_dim)
        scales = np.resize(np.repeat(BANDWIDTHS, max(1, num_waves // len(BANDWIDTHS))), num_waves) * typical
        self._waves = generator.standard_normal((num_waves, key_dim)) / scales[:, None] * math.sqrt(2.0)
        self._phases = generator.uniform(0.0, 2.0 * math.pi, num_waves)
        self._key_factor = 1.0 / math.sqrt(key_dim)
        self.dim = 1 + key_dim + num_waves

    def __call__(self, key: np.ndarray) -> np.ndarray:
        """(key_dim,) -> (dim,)"""
        waves = np.cos(self._waves.dot(key) + self._phases) * math.sqrt(2.0 / max(len(self._phases), 1))
        return np.concatenate(([1.0], key * self._key_factor, waves))


@dataclass(frozen=True, slots=True)
class Step:
    """features: of the context.  rival: another prediction of its return, NaN without one."""

    features: np.ndarray
    rival: float


class ValueSidecar:
    """Predicts the TD(lambda) return of a context, and learns it online.

    rule: "rls", or "delta", which is cheaper and forgets sooner.  discount: equal to that of the model's
    value head.  trace: 1 counts the rewards of the whole horizon; least squares averages their noise, and a
    smaller trace learns slowly from its own predictions (a cycle of 5 contexts, 200 steps: 0.1% off with 1,
    23% with 0.97).  forgetting: 500 steps, for a policy that changes.  InputError for an unknown rule or a
    wrong number.
    """

    def __init__(
        self,
        key_dim: int,
        *,
        rule: str = "rls",
        discount: float = 0.95,
        trace: float = 1.0,
        horizon: int = 64,
        num_waves: int = 64,
        forgetting: float = 0.998,
        ridge: float = 0.01,
        delta_rate: float = 0.1,
    ) -> None:
        if key_dim < 1 or num_waves < 0:
            raise InputError(f"key_dim is {key_dim}, num_waves {num_waves}: give 1 or more, and 0 or more")
        self.key_dim = key_dim
        self._features = KeyFeatures(key_dim, num_waves)
        if rule == "rls":
            self.weights: FastWeights = RecursiveLeastSquares(
                self._features.dim, 1, forgetting=forgetting, ridge=ridge
            )
        elif rule == "delta":
            self.weights = DeltaRule(self._features.dim, 1, rate=delta_rate)
        else:
            raise InputError(f"rule is {rule!r}: give 'rls' or 'delta'")
        self._traces: ReturnTraces[Step] = ReturnTraces(discount=discount, trace=trace, horizon=horizon)
        self.num_refused = 0

    @property
    def num_writes(self) -> int:
        return self.weights.num_writes

    def predict(self, key: np.ndarray) -> float:
        """The discounted reward expected after `key` (key_dim,); 0 before the first write, NaN for a key that
        is not finite.
        """
        if not np.isfinite(key).all():
            return math.nan
        return float(self.weights.read(self._features(key)))

    def learn(
        self, key: np.ndarray, reward: float, *, is_end: bool = False, rival: float = math.nan
    ) -> list[Credited[Step]]:
        """One step: `reward` answers the step before, `key` (key_dim,) is the context now.

        is_end: the episode ended with `reward`; `key` then starts the next one and nothing is carried over.
        rival: another prediction at `key`, to compare with later.

        Returns the steps whose return became known, which were written: the step, the value predicted at the
        time, and the return. A key or reward that is not finite is refused and counted, and clears the
        traces: the steps around it do not follow one another.
        """
        if not (np.isfinite(key).all() and math.isfinite(reward)):
            self.num_refused += 1
            self._traces.clear()
            return []
        credited = self._traces.end(reward) if is_end else []
        features = self._features(key)
        value = float(self.weights.read(features))
        one = self._traces.step(Step(features, rival), value, reward)
        credited += [one] if one else []
        for each in credited:
            self.weights.write(each.item.features, np.array([each.credit]))
        return credited

    def break_off(self) -> None:
        """Forget the steps whose return is not known yet: what comes does not follow from them."""
        self._traces.clear()

    def state(self) -> dict[str, np.ndarray]:
        """For a snapshot: the weights. The open steps of the traces are not part of it."""
        return self.weights.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the weights and clear the traces. DataError, and nothing changed, for other sizes."""
        if "weights" not in state:
            raise DataError(f"the sidecar's state has no weights, only {', '.join(state) or 'nothing'}")
        self.weights.load_state(state)
        self._traces.clear()
