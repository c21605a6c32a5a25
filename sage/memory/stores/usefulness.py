"""Whether recall entries were of use: how often each was read, and how often it predicted what came better
than "nothing changes".

Invariant: a judgement that comes after its slot was written again is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

NUM_SCORES = 5


class Usefulness:
    """Of `capacity` slots: the five scores with which each was written, and its counts."""

    def __init__(self, capacity: int) -> None:
        self.scores = np.full((capacity, NUM_SCORES), np.nan, np.float32)
        self.num_judged = np.zeros(capacity, np.int64)
        self.num_useful = np.zeros(capacity, np.int64)
        self._writes = np.zeros(capacity, np.int64)

    def put(self, slot: int, scores: np.ndarray | None) -> None:
        """The slot has a new entry. scores: (5,), NaN where undefined; None: unknown."""
        self.scores[slot] = np.nan if scores is None else scores
        self.num_judged[slot] = self.num_useful[slot] = 0
        self._writes[slot] += 1

    def merge(self, slot: int, scores: np.ndarray | None, step: float) -> None:
        """The slot's entry absorbs one with `scores`, with weight `step` in the mean; its counts stay."""
        if scores is None:
            return
        own = self.scores[slot]
        mixed = own + step * (scores - own)
        self.scores[slot] = np.where(np.isnan(own), scores, np.where(np.isnan(scores), own, mixed))

    def stamp(self, slots: np.ndarray) -> np.ndarray:
        """What `judge` needs to recognise the entries that are in `slots` now."""
        stamps: np.ndarray = self._writes[slots]
        return stamps

    def judge(self, slots: np.ndarray, stamps: np.ndarray, was_useful: np.ndarray) -> None:
        """Count one use of each entry that is still there. was_useful: bool, as slots."""
        is_there = self._writes[slots] == stamps
        self.num_judged[slots[is_there]] += 1
        self.num_useful[slots[is_there & was_useful]] += 1

    def arrays(self, num: int) -> dict[str, np.ndarray]:
        """Of the first `num` slots, for the store's state."""
        return {
            "scores": self.scores[:num],
            "num_judged": self.num_judged[:num],
            "num_useful": self.num_useful[:num],
        }

    def load(self, arrays: Mapping[str, np.ndarray], num: int) -> None:
        """Restore the first `num` slots; those that a snapshot of before has no counts of are unjudged."""
        self._writes += 1
        for name, own in self.arrays(num).items():
            own[...] = np.nan if name == "scores" else 0
            found = arrays.get(name, own[:0])[:num]
            own[: len(found)] = found


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A read, until what came after it is seen. values: (k, value_dim) of the entries.  before: (value_dim,)
    then.
    """

    tick: int
    slots: np.ndarray
    stamps: np.ndarray
    values: np.ndarray
    before: np.ndarray


class UseJudge:
    """Compares each entry read with what came `lead_ticks` later; persistence: the situation at the read."""

    def __init__(self, usefulness: Usefulness, lead_ticks: int) -> None:
        self._usefulness = usefulness
        self._lead_ticks = lead_ticks
        self._waiting: deque[_Waiting] = deque()

    def see(self, tick: int, now: np.ndarray, slots: np.ndarray, values: np.ndarray) -> None:
        """One tick. now (value_dim,): the situation.  slots (k,), values (k, value_dim): entries read now."""
        while self._waiting and tick - self._waiting[0].tick >= self._lead_ticks:
            then = self._waiting.popleft()
            if tick - then.tick == self._lead_ticks:
                errors = np.add.reduce((then.values - now) ** 2, axis=1)
                persistence = float(np.add.reduce((then.before - now) ** 2))
                self._usefulness.judge(then.slots, then.stamps, errors < persistence)
        if len(slots):
            self._waiting.append(_Waiting(tick, slots, self._usefulness.stamp(slots), values, now))
