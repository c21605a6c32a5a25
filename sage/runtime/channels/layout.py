"""The position of each source's channels in the loop's flat vectors.

N sources, C channels in all; source i owns channels offsets[i]:offsets[i + 1]. Known before
a sensor opens, and part of a snapshot's key, so that weights are only loaded for the same sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sage.errors import InputError
from sage.runtime.channels.maps import ObservationMap, Vector, observation_map
from sage.sensors.contract import SensorSpec
from sage.sensors.environment import RESET_QUANTITY


@dataclass(frozen=True)
class Layout:
    """specs and maps in the order of the drivers."""

    specs: tuple[SensorSpec, ...]
    maps: tuple[ObservationMap, ...]

    @classmethod
    def of(cls, specs: Sequence[SensorSpec], focus_tiles: int = 0) -> Layout:
        """InputError when two sources have the same name, or there is none. focus_tiles: of images."""
        names = [spec.name for spec in specs]
        if not names:
            raise InputError("sensors: none is enabled: enable at least one")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"sensors: the name {twice[0]!r} is used twice: give each sensor its own name")
        return cls(tuple(specs), tuple(observation_map(spec, focus_tiles) for spec in specs))

    @property
    def num_sources(self) -> int:
        return len(self.specs)

    @property
    def num_channels(self) -> int:
        return int(self.offsets[-1])

    @cached_property
    def dims(self) -> np.ndarray:
        """(N,) channels of each source."""
        return np.array([observe.size for observe in self.maps])

    @cached_property
    def offsets(self) -> np.ndarray:
        """(N + 1,) first channel of each source, and C."""
        return np.concatenate([[0], np.cumsum(self.dims)])

    @cached_property
    def source_of_channel(self) -> np.ndarray:
        """(C,)"""
        return np.repeat(np.arange(self.num_sources), self.dims)

    @cached_property
    def is_witness(self) -> np.ndarray:
        """(N,) bool: physical sources. A source derived from others is no evidence about them."""
        return np.array([spec.modality == "physical" and not spec.lineage for spec in self.specs])

    @cached_property
    def is_replaceable(self) -> np.ndarray:
        """(N,) bool: physical sources of plain numbers, outside of worlds that start again."""
        worlds = {s.name.rpartition(".")[0] for s in self.specs if s.observes[0] == RESET_QUANTITY}
        is_outside = [s.name.rpartition(".")[0] not in worlds for s in self.specs]
        is_plain = [isinstance(observe, Vector) for observe in self.maps]
        replaceable: np.ndarray = self.is_witness & np.array(is_outside) & np.array(is_plain)
        return replaceable

    @cached_property
    def ranges(self) -> np.ndarray:
        """(2, C) lowest and highest possible value of each channel, infinite where it is not declared."""
        ends = np.stack([np.full(self.num_channels, -np.inf), np.full(self.num_channels, np.inf)])
        for source, spec in enumerate(self.specs):
            if self.dims[source] != len(spec.ranges) or not isinstance(self.maps[source], Vector):
                continue
            for channel, pair in enumerate(spec.ranges, start=int(self.offsets[source])):
                for end in (0, 1):
                    ends[end, channel] = ends[end, channel] if pair[end] is None else pair[end]
        return ends

    @cached_property
    def period_ns(self) -> np.ndarray:
        """(N,) nominal time between readings."""
        return np.array([spec.period_ns for spec in self.specs], dtype=np.float64)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal names, shapes and units in equal order."""
        text = "|".join(
            f"{s.name}:{s.tensor.shape}:{s.tensor.dtype}:{s.observes}:{m.size}"
            for s, m in zip(self.specs, self.maps)
        )
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def per_source(self, per_channel: np.ndarray) -> np.ndarray:
        """(N,) sums over each source's channels of (C,)."""
        return np.add.reduceat(per_channel, self.offsets[:-1])
