"""The posture of a tick: how well the world is sensed, from the trust in its sources (COGNITION.md,
Scheduling).

Invariant: a modality without a source that is running, fresh and trusted is starved, also one that no source
of the run belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from sage.runtime.config import PostureConfig
from sage.runtime.report import PostureFacts
from sage.sensors.contract import SensorSpec

#: What a sensor observes -> the modality that it feeds; any other quantity is a modality by its own name.
MODALITIES = {"light": "vision", "image": "vision", "sound pressure": "hearing"}


class PostureMeter:
    """specs: of the sources, in order.  needed: modalities that effectors and rules name."""

    def __init__(
        self, specs: Sequence[SensorSpec], config: PostureConfig, needed: Iterable[str] = ()
    ) -> None:
        self._min_trust = config.min_trust
        self._physical = np.array([spec.modality == "physical" for spec in specs], dtype=bool).nonzero()[0]
        groups: dict[str, list[int]] = {name: [] for name in (*config.modalities, *needed)}
        for index, spec in enumerate(specs):
            for name in _modalities_of(spec, config):
                groups.setdefault(name, []).append(index)
        self._groups = dict(sorted(groups.items()))

    def measure(self, trust: np.ndarray, usable: np.ndarray, attended: np.ndarray) -> PostureFacts:
        """All (N,). trust: 0..1, lower bounds.  usable: bool, running and fresh.  attended: bool."""
        usable_trust = np.where(usable & (trust == trust), trust, 0.0)  # NaN is not equal to itself
        value_of = usable_trust.tolist().__getitem__
        best = {name: max(map(value_of, group), default=0.0) for name, group in self._groups.items()}
        sensed = [best[name] for name, group in self._groups.items() if len(group)]
        seen = usable_trust[attended]
        return PostureFacts(
            confidence=float(np.add.reduce(seen)) / len(seen) if len(seen) else math.nan,
            asymmetry=max(sensed) - min(sensed) if sensed else math.nan,
            breadth=_breadth(usable_trust[self._physical]),
            starved=tuple(name for name, value in best.items() if value < self._min_trust or value == 0.0),
        )


def _modalities_of(spec: SensorSpec, config: PostureConfig) -> tuple[str, ...]:
    declared = tuple(
        name
        for name, patterns in config.modalities.items()
        if any(fnmatchcase(spec.name, pattern) for pattern in patterns)
    )
    if declared or spec.modality != "physical":
        return declared
    quantity = spec.observes[0]
    return (MODALITIES.get(quantity, quantity),)


def _breadth(trust: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 / N: 1 where all sources are trusted alike, 1/N where a single one is."""
    if not len(trust):
        return math.nan
    squares = float(np.add.reduce(trust * trust))
    return float(np.add.reduce(trust)) ** 2 / squares / len(trust) if squares > 0 else 0.0
