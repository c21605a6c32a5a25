"""From the newest readings of a run's sources to an observation of an embodiment.

Invariant: an observation has every key of the embodiment, with the shapes and dtypes that a strict server
takes; its stamp is the time of its oldest part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation
from sage.sensors.contract import SensorError
from sage.sensors.latest import LatestReading, LatestReadings

_PLACE = re.compile(r"([^\[\]]+?)(?:\[(\d+):(\d+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A source, and a part of its flattened reading: all of it where `stop` is None."""

    source: str
    start: int = 0
    stop: int | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """From "SOURCE" or "SOURCE[START:STOP]". InputError for another form."""
        found = _PLACE.fullmatch(text)
        if found is None or (found[2] is not None and int(found[2]) >= int(found[3])):
            raise InputError(f"{text!r}: give the name of a source, or SOURCE[START:STOP] with START < STOP")
        if found[2] is None:
            return cls(source=found[1])
        return cls(source=found[1], start=int(found[2]), stop=int(found[3]))


class ObservationMaker:
    """video: view -> source.  state: name -> "SOURCE" or "SOURCE[START:STOP]".  watcher: who watches them.

    InputError where a key of the embodiment is missing, or one is given that it does not have.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        *,
        video: Mapping[str, str],
        state: Mapping[str, str],
        latest: LatestReadings,
        watcher: str,
    ) -> None:
        for group, given, wanted in (
            ("video", video, embodiment.video.views),
            ("state", state, embodiment.state.dims),
        ):
            if set(given) != set(wanted):
                raise InputError(
                    f"{group} maps {', '.join(given) or 'nothing'}: the embodiment {embodiment.name} has"
                    f" {', '.join(wanted)}: give a source for each"
                )
        self._embodiment = embodiment
        self._latest = latest
        self._video = {view: Place.parse(video[view]) for view in embodiment.video.views}
        self._state = {name: Place.parse(state[name]) for name in embodiment.state.dims}
        self._frames = _offsets(embodiment.video.delta_indices)
        self._states = _offsets(embodiment.state.delta_indices)
        for place in self._video.values():
            latest.watch(place.source, watcher, max(self._frames) + 1)
        for place in self._state.values():
            latest.watch(place.source, watcher, max(self._states) + 1)

    @property
    def sources(self) -> tuple[str, ...]:
        """In order, each once."""
        places = (*self._video.values(), *self._state.values())
        return tuple(dict.fromkeys(place.source for place in places))

    def newest_ns(self) -> tuple[int, int] | None:
        """(oldest, newest) time of the sources' newest readings; None while one has none."""
        stamps = []
        for source in self.sources:
            readings = self._latest.of(source)
            if not readings:
                return None
            stamps.append(readings[-1].captured_ns)
        return min(stamps), max(stamps)

    def observation(self, instruction: str) -> Observation:
        """Of the newest readings, B = 1. SensorError where a reading has another shape or dtype."""
        dims = self._embodiment.state.dims
        return Observation(
            video={view: self._frames_of(view, place) for view, place in self._video.items()},
            state={name: self._states_of(name, place, dims[name]) for name, place in self._state.items()},
            language={self._embodiment.language: [[instruction]]},
        )

    def _frames_of(self, view: str, place: Place) -> np.ndarray:
        frames = [reading.values for reading in _picked(self._latest.of(place.source), self._frames)]
        if frames[0].dtype != np.uint8 or frames[0].ndim != 3 or frames[0].shape[-1] != 3:
            raise SensorError(
                f"video.{view}: readings of {place.source} are {frames[0].dtype.name} of shape"
                f" {frames[0].shape}: give a source of (height, width, 3) uint8"
            )
        return np.stack(frames)[None]

    def _states_of(self, name: str, place: Place, dim: int) -> np.ndarray:
        rows = []
        for reading in _picked(self._latest.of(place.source), self._states):
            row = reading.values.reshape(-1)[place.start : place.stop]
            if row.size != dim:
                raise SensorError(
                    f"state.{name}: {row.size} numbers from {place.source} of shape {reading.values.shape}:"
                    f" give {dim}, for example with {place.source}[0:{dim}]"
                )
            rows.append(row.astype(np.float32))
        return np.stack(rows)[None]


def _offsets(deltas: tuple[int, ...]) -> tuple[int, ...]:
    """How many readings before the newest one each is. Offsets that count up from 0 end at the newest."""
    newest = max(deltas)
    return tuple(newest - delta for delta in deltas)


def _picked(readings: tuple[LatestReading, ...], offsets: tuple[int, ...]) -> list[LatestReading]:
    """The oldest reading in place of those that are not there yet."""
    if not readings:
        raise SensorError("a source has no reading yet")
    return [readings[max(0, len(readings) - 1 - offset)] for offset in offsets]
