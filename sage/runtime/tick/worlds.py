"""Worlds that the loop acts in: their reward, and whether one of them has started again.

A world is recognised by its sensors: one that observes the quantity "reset" is named NAME.reset, and NAME.*
are the sources of that world. Invariant: only what arrived this tick counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.runtime.report import ActingFacts
from sage.sensors.contract import SensorSpec
from sage.sensors.environment import CUT_OFF, ENDED, RESET_QUANTITY, REWARD_QUANTITY, SUCCESS_QUANTITY


class Worlds:
    """reward, reset: of the tick last met: the sum of the rewards, NaN without one; ENDED or CUT_OFF where a
    world has started again, else 0.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        observes = [spec.observes[0] for spec in layout.specs]
        self._rewards = [source for source, quantity in enumerate(observes) if quantity == REWARD_QUANTITY]
        resets = [source for source, quantity in enumerate(observes) if quantity == RESET_QUANTITY]
        own = world_sources(layout.specs)
        self._worlds = [_World(layout, source, own) for source in resets]
        self.reward = math.nan
        self.reset = 0.0

    @property
    def has_reward(self) -> bool:
        return bool(self._rewards)

    def meet(self, met: np.ndarray, values: np.ndarray, deltas: np.ndarray) -> None:
        """Note one tick. met: (N,) bool, sources with a reading.  values: (C,) last readings, raw.
        deltas: (C,) standardised; set to 0 for a world that has started again, as its first readings do not
        follow from its last ones.
        """
        offsets = self._layout.offsets
        delivered = [source for source in self._rewards if met[source]]
        self.reward = (
            float(sum(values[offsets[source] : offsets[source + 1]].sum() for source in delivered))
            if delivered
            else math.nan
        )
        self.reset = 0.0
        for world in self._worlds:
            reset = world.meet(met, values)
            if reset:
                deltas[world.channels] = 0.0
                self.reset = max(self.reset, reset)

    def facts(self) -> tuple[ActingFacts, ...]:
        return tuple(world.facts() for world in self._worlds)


def world_sources(specs: Sequence[SensorSpec]) -> dict[str, tuple[int, ...]]:
    """The indices of each world's own sources, by its name."""
    names = [_world_of(spec) for spec in specs if spec.observes[0] == RESET_QUANTITY]
    found: dict[str, tuple[int, ...]] = {}
    for name in names:
        prefix = f"{name}."
        others = tuple(f"{other}." for other in names if other.startswith(prefix))
        found[name] = tuple(
            source
            for source, spec in enumerate(specs)
            if spec.name.startswith(prefix) and not spec.name.startswith(others)
        )
    return found


def _world_of(spec: SensorSpec) -> str:
    return spec.name.rpartition(".")[0]


class _World:
    """One world's sources and its episodes. sources: of `world_sources`."""

    def __init__(self, layout: Layout, reset_source: int, sources: Mapping[str, Sequence[int]]) -> None:
        self.name = _world_of(layout.specs[reset_source])
        own = sources[self.name]
        self.channels = np.flatnonzero(np.isin(layout.source_of_channel, own))
        self._reset_source = reset_source
        self._reset_channel = int(layout.offsets[reset_source])
        self._reward_sources = [s for s in own if layout.specs[s].observes[0] == REWARD_QUANTITY]
        goals = [s for s in own if layout.specs[s].observes[0] == SUCCESS_QUANTITY]
        self._success_channel = int(layout.offsets[goals[0]]) if goals else None
        self._offsets = layout.offsets
        self._reset = 0.0
        self._reward = math.nan
        self._num_episodes = 0
        self._return = 0.0
        self._last_return = math.nan
        self._last_success = math.nan
        self._has_started = False  # the first reading of a world may say so, and ends no episode

    def meet(self, met: np.ndarray, values: np.ndarray) -> float:
        self._reward = math.nan
        for source in self._reward_sources:
            if met[source]:
                reward = float(values[self._offsets[source] : self._offsets[source + 1]].sum())
                self._reward = reward if math.isnan(self._reward) else self._reward + reward
        if self._reset:  # of the tick before: a new episode
            self._return = 0.0
        if not math.isnan(self._reward):
            self._return += self._reward
        self._reset = 0.0
        if met[self._reset_source] and values[self._reset_channel] > 0:
            self._reset = CUT_OFF if values[self._reset_channel] > (ENDED + CUT_OFF) / 2 else ENDED
            if self._has_started:
                self._num_episodes += 1
                self._last_return = self._return
                if self._success_channel is not None:
                    self._last_success = float(values[self._success_channel] > 0.5)
        self._has_started |= bool(met[self._reset_source])
        return self._reset

    def facts(self) -> ActingFacts:
        return ActingFacts(
            world=self.name,
            reward=self._reward,
            reset=self._reset,
            num_episodes=self._num_episodes,
            episode_return=self._return,
            last_return=self._last_return,
            last_success=self._last_success,
        )
