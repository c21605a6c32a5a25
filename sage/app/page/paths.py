"""The path of each world in hand: a few channels and the return over the steps of its episodes.

Invariant: bounded, NUM_STEPS steps of the episode under way and of the one before it. The loop's thread adds
a row a step to a bounded queue; the rest is done on the thread that asks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sage.runtime.instruments import ReadingOf
from sage.runtime.report import ActingFacts
from sage.runtime.tick.worlds import world_sources
from sage.sensors.contract import SensorSpec

NUM_STEPS, NUM_POINTS, MAX_CHANNELS, CAPACITY = 400, 100, 4, 1024
#: Endings of two channels that are places on one plane, and where they grow: 1 to the right or up, else -1.
_PLANES = (("x", "y", 1, 1), ("column", "row", 1, -1), ("left", "out", -1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is shown of a world. source: -1 for none.  indices: of its channels in a reading.  plane: the
    directions of two channels that are places, else empty.
    """

    source: int = -1
    name: str = ""
    unit: str = ""
    channels: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()
    plane: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    """One step. values: of the channels, empty where they are not known; total: the return so far."""

    episode: int
    step: int
    values: tuple[float, ...]
    total: float


@dataclass(slots=True)
class _Episode:
    number: int
    rows: deque[_Row] = field(default_factory=lambda: deque(maxlen=NUM_STEPS))


def choose_channels(specs: Sequence[SensorSpec], sources: Sequence[int]) -> Shown:
    """Two channels that are places on a plane, of the first source that has them; otherwise the first
    channels of the first source of plain numbers. sources: indices of one world's.
    """
    plain = [
        (index, specs[index])
        for index in sources
        if specs[index].modality == "physical" and len(specs[index].tensor.shape) == 1
    ]
    for index, spec in plain:
        for across, upward, *plane in _PLANES:
            pair = _pair(spec.channels, across, upward)
            if pair:
                return _shown(index, spec, pair, tuple(plane))
    if not plain:
        return Shown()
    index, spec = plain[0]
    return _shown(index, spec, tuple(range(min(MAX_CHANNELS, spec.tensor.shape[0]))), ())


class WorldPath:
    """Of one world. `take` is called on the loop's thread, `plain` on one other."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._indices = list(shown.indices)
        self._rows: deque[_Row] = deque(maxlen=CAPACITY)
        self._step = 0
        self._episodes: deque[_Episode] = deque(maxlen=2)
        num = len(shown.channels) + 1  # the return is the last
        self._low, self._high = [math.inf] * num, [-math.inf] * num

    def take(self, world: ActingFacts, reading_of: ReadingOf) -> None:
        reading = reading_of(self._shown.source) if self._shown.source >= 0 else None
        if reading is None and math.isnan(world.reward) and not world.reset:
            return
        values = () if reading is None else tuple(reading[self._indices].astype(np.float64).tolist())
        if not world.reset:
            self._step += 1
            self._rows.append(_Row(world.num_episodes, self._step, values, world.episode_return))
            return
        # This reading is the first of the next episode: what it was at the end of the last one is not known.
        if world.num_episodes:
            self._rows.append(_Row(world.num_episodes - 1, self._step + 1, (), world.last_return))
        self._step = 0
        self._rows.append(_Row(world.num_episodes, 0, values, 0.0))

    def plain(self) -> dict[str, Any]:
        """ranges: the lowest and highest value of each channel and of the return since the session began.
        episodes: the one under way, then the one before it.
        """
        while self._rows:
            self._add(self._rows.popleft())
        shown = self._shown
        return {
            "source": shown.name,
            "unit": shown.unit,
            "channels": list(shown.channels),
            "plane": list(shown.plane),
            "ranges": [[_figure(low), _figure(high)] for low, high in zip(self._low, self._high)],
            "episodes": [self._plain_episode(episode) for episode in reversed(self._episodes)],
        }

    def _add(self, row: _Row) -> None:
        if not self._episodes or self._episodes[-1].number != row.episode:
            self._episodes.append(_Episode(row.episode))
        self._episodes[-1].rows.append(row)
        values = row.values or (math.nan,) * len(self._indices)
        for place, value in enumerate((*values, row.total)):
            if math.isfinite(value):
                self._low[place] = min(self._low[place], value)
                self._high[place] = max(self._high[place], value)

    def _plain_episode(self, episode: _Episode) -> dict[str, Any]:
        """Of at most NUM_POINTS steps, the last ones among them."""
        rows = list(episode.rows)
        rows = rows[:: -max(1, -(-len(rows) // NUM_POINTS))][::-1]
        return {
            "number": episode.number + 1,
            "steps": [row.step for row in rows],
            "values": [
                [_figure(row.values[place]) if row.values else None for row in rows]
                for place in range(len(self._indices))
            ],
            "returns": [_figure(row.total) for row in rows],
        }


class WorldPaths:
    """specs: of all sources, in order."""

    def __init__(self, specs: Sequence[SensorSpec]) -> None:
        self._paths = {
            world: WorldPath(choose_channels(specs, sources))
            for world, sources in world_sources(specs).items()
        }

    def take(self, acting: Sequence[ActingFacts], reading_of: ReadingOf) -> None:
        """Add a row of each world that has moved. On the loop's thread."""
        for world in acting if self._paths else ():
            self._paths[world.world].take(world, reading_of)

    def plain(self, world: str) -> dict[str, Any] | None:
        """None for a world that is not followed. From one thread at a time."""
        path = self._paths.get(world)
        return None if path is None else path.plain()


def _pair(channels: Sequence[str], across: str, upward: str) -> tuple[int, int] | None:
    """Of names that are `across` and `upward`, or end in them after the same beginning."""
    lower = [name.lower() for name in channels]
    for index, name in enumerate(lower):
        beginning = name.removesuffix(across)
        is_place = name.endswith(across) and (not beginning or beginning[-1] in "_. ")
        if is_place and beginning + upward in lower:
            return index, lower.index(beginning + upward)
    return None


def _shown(index: int, spec: SensorSpec, indices: tuple[int, ...], plane: tuple[int, ...]) -> Shown:
    names = spec.channels or tuple(f"x{place}" for place in range(spec.tensor.shape[0]))
    unit = "" if spec.observes[1] == "1" else spec.observes[1]
    return Shown(
        source=index,
        name=spec.name,
        unit=unit,
        channels=tuple(names[place] for place in indices),
        indices=indices,
        plane=plane,
    )


def _figure(value: float) -> float | None:
    """To four significant digits; None for what is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
