"""Worlds that the loop acts in: their rewards, and which of them have started again.

A world is recognised by its sensors: one that observes the quantity "reset" is named NAME.reset, and NAME.*
are its sources. An action is of a world where its effector is called so. The rewards of sensors outside of
worlds are those of the single world; beside several they are of one more, which never starts again.
Invariant: only what arrived this tick counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sage.runtime.channels.layout import Layout
from sage.runtime.report import ActingFacts
from sage.sensors.contract import EffectorSpec, SensorSpec
from sage.sensors.environment import CUT_OFF, ENDED, RESET_QUANTITY, REWARD_QUANTITY, SUCCESS_QUANTITY


class WorldParts(NamedTuple):
    """As the fields of an ObservationFront."""

    num_worlds: int
    source_worlds: tuple[int, ...]
    action_worlds: tuple[int, ...]


ONE_WORLD = WorldParts(1, (), ())


class Worlds:
    """reward, reset: (W,) of the tick last met: the sum of a world's rewards, NaN without one; ENDED or
    CUT_OFF where it has started again, else 0.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        resets = [source for source, spec in enumerate(layout.specs) if spec.observes[0] == RESET_QUANTITY]
        self._sources = world_sources(layout.specs)
        self._worlds = [_World(layout, source, self._sources) for source in resets]
        self._numbers = {name: number for number, name in enumerate(self._sources)}
        self._rewards = tuple(rewards_by_world(layout.specs).values())
        self.reward = np.full(len(self._rewards), np.nan)
        self.reset = np.zeros(len(self._rewards))

    @property
    def has_reward(self) -> bool:
        return any(self._rewards)

    def parts(self, effectors: Sequence[EffectorSpec]) -> WorldParts:
        """effectors: of the action vector, in its order. An action of a world without a reward is of none."""
        if len(self._rewards) == 1:
            return ONE_WORLD
        sources = np.full(self._layout.num_sources, -1)
        for name, own in self._sources.items():
            sources[list(own)] = self._numbers[name]
        actions: list[int] = []
        for spec in effectors:
            inside = [name for name in self._sources if spec.name.startswith(f"{name}.")]
            number = self._numbers[max(inside, key=len)] if inside else -1
            actions += [number if number >= 0 and self._rewards[number] else -1] * spec.size
        return WorldParts(len(self._rewards), tuple(sources.tolist()), tuple(actions))

    def meet(self, met: np.ndarray, values: np.ndarray, deltas: np.ndarray) -> None:
        """Note one tick. met: (N,) bool, sources with a reading.  values: (C,) last readings, raw.
        deltas: (C,) standardised; set to 0 for a world that has started again, as its first readings do not
        follow from its last ones.
        """
        offsets = self._layout.offsets
        for number, sources in enumerate(self._rewards):
            delivered = [source for source in sources if met[source]]
            rewards = [values[offsets[source] : offsets[source + 1]].sum() for source in delivered]
            self.reward[number] = sum(rewards) if rewards else np.nan
        self.reset[:] = 0.0
        for world in self._worlds:
            reset = world.meet(met, values)
            if reset:
                deltas[world.channels] = 0.0
                number = self._numbers[world.name]
                self.reset[number] = max(self.reset[number], reset)

    def facts(self) -> tuple[ActingFacts, ...]:
        return tuple(world.facts() for world in self._worlds)


def rewards_by_world(specs: Sequence[SensorSpec]) -> dict[str, tuple[int, ...]]:
    """The sources of rewards of each world, by its name, "" for those outside of several; at least one."""
    rewards = [source for source, spec in enumerate(specs) if spec.observes[0] == REWARD_QUANTITY]
    worlds = world_sources(specs)
    if len(worlds) < 2:
        return {next(iter(worlds), ""): tuple(rewards)}
    found = {name: tuple(source for source in own if source in rewards) for name, own in worlds.items()}
    outside = tuple(source for source in rewards if not any(source in own for own in worlds.values()))
    return {**found, **({"": (*found.get("", ()), *outside)} if outside else {})}


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
