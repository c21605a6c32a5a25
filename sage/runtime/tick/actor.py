"""What the loop tries to do in a tick: a draw from the policy while it learns from reward, else its mode.

Invariant: equal seeds and equal readouts give equal actions; nothing is drawn unless it explores.
"""

from __future__ import annotations

import numpy as np

#: Apart from every other stream of the run's seed.
STREAM = 0xAC7


class Actor:
    """choices: (first, stop) of each group of actions of which one is chosen.  explores: it draws from the
    policy.  min_std: least standard deviation of a draw, before the tanh: regression on few good actions
    makes a policy certain before it is good.
    """

    def __init__(
        self, choices: tuple[tuple[int, int], ...], *, explores: bool, seed: int, min_std: float = 0.0
    ) -> None:
        self.explores = explores
        self._min_std = min_std
        self._choices = choices
        self._generator = np.random.default_rng([seed, STREAM])

    def choose(self, mean: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        """(A,) in -1..1 from the action head's (A,) mean, or logits, and log_std; of a group the chosen is 1,
        the others are -1.
        """
        wanted = mean
        if self.explores and mean.size:
            std = np.maximum(np.exp(log_std), self._min_std)
            wanted = mean + std * self._generator.standard_normal(mean.size)
        values: np.ndarray = np.tanh(wanted)
        for first, stop in self._choices:
            logits = mean[first:stop]
            if self.explores:  # the highest of logits with Gumbel noise is a draw from their softmax
                logits = logits + self._generator.gumbel(size=stop - first)
            values[first:stop] = -1.0
            values[first + int(np.argmax(logits))] = 1.0
        return values
