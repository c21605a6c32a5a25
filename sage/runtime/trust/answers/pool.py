"""Categorical trust: an online log-linear pool of N sources that each give probabilities of K classes.

p(k) ~ prod_i p_i(k)^w_i with w_i >= 0 (Genest and Zidek 1986; COGNITION.md, Categorical and model sources).
The weights start at 1/N and follow the gradient of the log loss once the outcome is known; each source has a
temperature, learned more slowly from its own log loss. Invariant: without an outcome no weight and no
temperature changes; with three or more sources, agreement is evidence for trust.
"""

from __future__ import annotations

import numpy as np

from sage.errors import InputError
from sage.runtime.trust.answers.beta import RightOrWrong

#: Of the weights; of the temperatures, slower: a fault changes what a source is worth, not its scale.
RATE, TEMPERATURE_RATE = 0.05, 0.005
FLOOR = 1e-4
#: Of the logarithm of a source's temperature.
MAX_LOG_TEMPERATURE = 3.0
MIN_VOTERS = 3


class LogPool:
    """A Judged form. weights: (N,) >= 0.  log_temperatures: (N,), 0 leaves a source as it is.

    rate: of the weights' gradient steps.  floor: the least probability that a source may give.
    calibrates: learn the temperatures. InputError for sizes under 1 or 2, and for a rate or floor out of
    range.
    """

    def __init__(
        self,
        num_sources: int,
        num_classes: int,
        *,
        rate: float = RATE,
        floor: float = FLOOR,
        calibrates: bool = True,
    ) -> None:
        if num_sources < 1 or num_classes < 2:
            raise InputError(
                f"num_sources is {num_sources}, num_classes {num_classes}: give 1 or more, and 2 or more"
            )
        if not (rate >= 0 and 0 < floor < 1 / num_classes):
            raise InputError(f"rate is {rate}, floor {floor}: give 0 or more, and 0 to 1 / num_classes")
        self.weights = np.full(num_sources, 1 / num_sources)
        self.log_temperatures = np.zeros(num_sources)
        self.nis = np.full(num_sources, np.nan)
        self.responsibility = np.ones(num_sources)
        self.is_stuck = np.zeros(num_sources, dtype=bool)
        self._right = RightOrWrong(num_sources)
        self._num_classes = num_classes
        self._rate = rate
        self._floor = floor
        self._calibrates = calibrates

    @property
    def trust(self) -> np.ndarray:
        """(N,) lower bound on the probability that a source gives to what is right."""
        return self._right.bound

    def fuse(self, given: np.ndarray) -> np.ndarray:
        """(K,) the pooled probabilities. given: (N, K), a row of NaN where a source has no answer.

        All NaN without an answer: never an invented one. InputError for another shape.
        """
        logs, is_given = self._logs(given)
        if not is_given.any():
            return np.full(self._num_classes, np.nan)
        return _normalised(self._used(is_given).dot(logs))

    def update(self, given: np.ndarray, label: int | None = None) -> None:
        """Learn from one outcome. label: the class that is right, None where it is not known.

        Sources without an answer do not change. InputError for a label out of range.
        """
        logs, is_given = self._logs(given)
        if not is_given.any():
            return
        if label is None:
            self._agree(logs, is_given)
            return
        if not 0 <= label < self._num_classes:
            raise InputError(f"label is {label}: give 0 to {self._num_classes - 1}")
        pooled = _normalised(self._used(is_given).dot(logs))
        own = np.exp(logs)  # (N, K), normalised
        gradient = logs.dot(pooled) - logs[:, label]
        self.weights = np.where(is_given, np.maximum(self.weights - self._rate * gradient, 0.0), self.weights)
        self._note(np.where(is_given, own[:, label], np.nan), -logs[:, label])
        if self._calibrates:
            # d loss_i / d log T_i = log-odds of the label against the source's own mean.
            step = TEMPERATURE_RATE * (logs[:, label] - (own * logs).sum(axis=1))
            moved = self.log_temperatures - step
            self.log_temperatures = np.where(
                is_given, np.clip(moved, -MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE), self.log_temperatures
            )

    @property
    def share(self) -> np.ndarray:
        """(N,) as in TrustForm."""
        return self._right.mean

    def change_context(self, before: np.ndarray, after: np.ndarray, left: np.ndarray) -> None:
        """As in TrustForm."""
        self._right.change_context(before, after, left)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of what a snapshot contains."""
        learned = {"weights": self.weights.copy(), "log_temperatures": self.log_temperatures.copy()}
        return learned | self._right.state()

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        self.weights = state["weights"].copy()
        self.log_temperatures = state["log_temperatures"].copy()
        self._right.load_state(state)

    def _agree(self, logs: np.ndarray, is_given: np.ndarray) -> None:
        """Evidence from agreement: the probability that a source's class is that of the others' pool."""
        if np.count_nonzero(is_given) < MIN_VOTERS:
            return
        used, own = self._used(is_given), np.exp(logs)
        others = np.array(
            [_normalised((used - np.eye(len(used))[i] * used[i]).dot(logs)) for i in range(len(used))]
        )
        agreed = (own * others).sum(axis=1)
        self._note(np.where(is_given, agreed, np.nan), -np.log(np.maximum(agreed, self._floor)))

    def _note(self, right: np.ndarray, surprise: np.ndarray) -> None:
        self._right.judge(right)
        is_judged = np.isfinite(right)
        self.responsibility = np.where(is_judged, right, self.responsibility)
        self.nis = np.where(is_judged, surprise, np.nan)

    def _used(self, is_given: np.ndarray) -> np.ndarray:
        """(N,) weights of the sources with an answer; equal ones where all of them are 0."""
        used: np.ndarray = np.where(is_given, self.weights, 0.0)
        return used if used.any() else is_given / np.count_nonzero(is_given)

    def _logs(self, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) floored, calibrated, normalised log probabilities, 0 for no answer; (N,) bool."""
        if given.shape != (len(self.weights), self._num_classes):
            raise InputError(
                f"given is of shape {given.shape}: give {(len(self.weights), self._num_classes)}"
            )
        is_given = np.isfinite(given).all(axis=1)
        safe = np.where(is_given[:, None], given, 1.0)
        floored = np.maximum(safe / np.maximum(safe.sum(axis=1, keepdims=True), self._floor), self._floor)
        logs = np.log(floored) * np.exp(-self.log_temperatures)[:, None]
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        return np.where(is_given[:, None], logs, 0.0), is_given


def _normalised(logs: np.ndarray) -> np.ndarray:
    """(K,) probabilities of unnormalised log probabilities."""
    weights: np.ndarray = np.exp(logs - logs.max())
    weights /= weights.sum()
    return weights
