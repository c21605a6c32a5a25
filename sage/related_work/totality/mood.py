"""How trust and affect shape what is drawn at random.

Invariant: with equal generators equal moods draw equally; the neutral mood prefers what is active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from sage.related_work.totality.messages import Affect

ItemT = TypeVar("ItemT")
#: What is imagined is activated by this share of the mean activation of what it is made from.
IMAGINED_WEIGHT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """trust: in the requester, 0..1.  affect: of the requester.

    temperature: 0.1 + arousal / 2 + (1 - trust): the less trust and the more arousal, the more evenly
    things are drawn. Valence scales how much activation counts, from not at all (-1) to twice (1). Coping
    is the share of the slots of a scheme that one operation may change.
    """

    trust: float = 1.0
    affect: Affect = field(default_factory=Affect)

    @property
    def temperature(self) -> float:
        return 0.1 + 0.5 * self.affect.arousal + (1.0 - self.trust)

    def draw(
        self, rng: np.random.Generator, items: Sequence[ItemT], activations: Sequence[float], num: int = 1
    ) -> list[ItemT]:
        """`num` different items (all, when there are fewer), by the softmax of their activations."""
        num = min(num, len(items))
        if num == 0:
            return []
        logits = np.asarray(activations) * (1.0 + self.affect.valence) / self.temperature
        # The Gumbel trick: the highest perturbed logits are a draw without replacement from the softmax.
        order = np.argsort(-(logits + rng.gumbel(size=len(items))), kind="stable")
        return [items[at] for at in order[:num]]

    def num_changes(self, num_slots: int) -> int:
        """1 to num_slots."""
        return max(1, min(num_slots, round(self.affect.coping * num_slots)))

    def imagined_activation(self, activations: Sequence[float]) -> float:
        """0..1; 0 without any."""
        mean = float(np.mean(activations)) if activations else 0.0
        return min(max(IMAGINED_WEIGHT * self.trust * mean, 0.0), 1.0)
