"""Returns for late reward: what each situation was worth, counted once the rewards after it have come.

Truncated TD(lambda) (Cichosz 1995): the forward view of eligibility traces, so that any write rule can learn
from it. Convention: the reward of step t + 1 answers the situation of step t.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sage.errors import InputError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Credited(Generic[Item]):
    """One past step whose return is known."""

    item: Item
    value: float
    credit: float


class ReturnTraces(Generic[Item]):
    """The last `horizon` steps, and the return of each as it leaves.

    G_t = r_{t+1} + discount ((1 - trace) V_{t+1} + trace G_{t+1}), from V itself at the end of the horizon,
    and 0 after the end of an episode. discount, trace: 0 to 1, of TD(lambda).  horizon: steps, 1 or more.
    """

    def __init__(self, *, discount: float = 0.95, trace: float = 0.9, horizon: int = 32) -> None:
        if not (0.0 <= discount <= 1.0 and 0.0 <= trace <= 1.0 and horizon >= 1):
            raise InputError(
                f"discount is {discount}, trace {trace}, horizon {horizon}: give discount and trace from 0 to"
                " 1, and a horizon of 1 step or more"
            )
        self._discount = discount
        self._trace = trace
        self._horizon = horizon
        self._items: deque[Item] = deque()
        # Step t of the open ones: V_t, and the reward that answers it, NaN until it came.
        self._values: deque[float] = deque()
        self._rewards: deque[float] = deque()
        ages = np.arange(horizon)
        self._reward_factors = (discount * trace) ** ages  # (H,)
        self._value_factors = self._reward_factors * discount * (1.0 - trace)
        self._value_factors[-1] = self._reward_factors[-1] * discount  # the end of the horizon: V alone

    def __len__(self) -> int:
        """Steps whose return is not known yet."""
        return len(self._items)

    def step(self, item: Item, value: float, reward: float) -> Credited[Item] | None:
        """Add a step with its predicted value; `reward` answers the step before. Returns the step whose
        return is now known, `horizon` steps ago, None at first.
        """
        credited = None
        if self._items:
            self._rewards[-1] = reward
            if len(self._items) == self._horizon:
                values = np.fromiter(self._values, float)
                rewards = np.fromiter(self._rewards, float)
                onward = np.append(values[1:], value)  # V_{t+1} .. V_{t+H}
                credit = float(self._reward_factors.dot(rewards) + self._value_factors.dot(onward))
                credited = Credited(self._items.popleft(), self._values.popleft(), credit)
                self._rewards.popleft()
        self._items.append(item)
        self._values.append(value)
        self._rewards.append(np.nan)
        return credited

    def end(self, reward: float) -> list[Credited[Item]]:
        """The episode ends with `reward`: the returns of all open steps, oldest first; nothing follows."""
        if not self._items:
            return []
        self._rewards[-1] = reward
        credited, onward_return, onward_value = [], 0.0, 0.0
        for item, value, got in zip(reversed(self._items), reversed(self._values), reversed(self._rewards)):
            mixed = (1.0 - self._trace) * onward_value + self._trace * onward_return
            onward_return, onward_value = got + self._discount * mixed, value
            credited.append(Credited(item, value, onward_return))
        self.clear()
        return credited[::-1]

    def clear(self) -> None:
        """Forget the open steps, e.g. after a gap."""
        self._items.clear()
        self._values.clear()
        self._rewards.clear()
