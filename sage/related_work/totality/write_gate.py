"""The SNARC gate of writing: whether a scheme is salient enough for how much its writer is trusted.

Scores, all 0..1: surprise (the share of slots that change), novelty (1 / sqrt(1 + count) of each label and
slot value in the store; count-based, Bellemare et al. 2016), arousal (of the affect), reward (|valence|),
conflict (the share of slots that contradict an observed value). salience = sigmoid(4 (mean - 0.5)), as
sage.memory.salience. The gate is open when trust x salience >= 0.25 (0.5 + coping): a writer that copes
well writes less. Scores are not ranks, so that a new store needs no warm-up.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sage.memory.salience import STEEPNESS
from sage.related_work.totality.content import Scheme
from sage.related_work.totality.messages import Affect

THRESHOLD = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """The five scores and the salience of one scheme to write, all 0..1."""

    surprise: float
    novelty: float
    arousal: float
    reward: float
    conflict: float
    salience: float

    def is_open(self, trust: float, affect: Affect) -> bool:
        return trust * self.salience >= THRESHOLD * (0.5 + affect.coping)


class Familiarity:
    """How often each label and each slot value is in the store."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, scheme: Scheme) -> None:
        self._counts.update(_features(scheme))

    def remove(self, scheme: Scheme) -> None:
        for feature in _features(scheme):
            self._counts[feature] -= 1
            if self._counts[feature] <= 0:
                del self._counts[feature]

    def novelty(self, scheme: Scheme) -> float:
        """0..1; 1 when nothing of it is in the store."""
        found = [1.0 / math.sqrt(1.0 + self._counts[feature]) for feature in _features(scheme)]
        return sum(found) / len(found)


def appraise(before: Scheme | None, after: Scheme, familiarity: Familiarity, affect: Affect) -> Appraisal:
    """before: as it is in the store, None for a new one.  after: what it would become."""
    old = _values(before) if before is not None else {}
    new = _values(after)
    changed = [name for name in new if name not in old or old[name][0] != new[name][0]]
    contradicted = [name for name in changed if name in old and old[name][1] == "observed"]
    num = max(len(new), 1)
    surprise = 1.0 if before is None else len(changed) / num
    novelty = familiarity.novelty(after)
    reward = abs(affect.valence)
    conflict = len(contradicted) / num
    mean = (surprise + novelty + affect.arousal + reward + conflict) / 5.0
    return Appraisal(
        surprise=surprise,
        novelty=novelty,
        arousal=affect.arousal,
        reward=reward,
        conflict=conflict,
        salience=1.0 / (1.0 + math.exp(-STEEPNESS * (mean - 0.5))),
    )


def _values(scheme: Scheme) -> dict[str, tuple[str, str]]:
    """Slot name -> (value as JSON, binding)."""
    return {slot.name: (_json(slot.value), slot.binding) for slot in scheme.slots}


def _features(scheme: Scheme) -> Iterable[str]:
    return [f"label {scheme.label}", *(f"{slot.name} {_json(slot.value)}" for slot in scheme.slots)]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
