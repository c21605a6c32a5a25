"""The session's past, from the metrics store: series, nights, events, levels.

Invariant: read from a connection of its own, never the loop's; a reply is computed at most once in
CACHE_SECS, whatever the number of pages that ask for it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sage.app.report.puzzles import NUM_RECENT
from sage.app.store.metrics_store import MetricsStore
from sage.runtime.report import to_plain

CACHE_SECS, MAX_CACHED = 2.0, 32
#: Episodes that a median of returns is of.
NUM_EPISODES = 20


class History:
    """Each method returns one JSON document, encoded. UserError for a name that is not in the session."""

    def __init__(
        self, store: MetricsStore, session: str, *, real_secs: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._session = session
        self._real_secs = real_secs
        self._lock = threading.Lock()
        self._cached: dict[tuple[object, ...], tuple[float, bytes]] = {}

    def series(
        self, names: Sequence[str], from_secs: float | None, to_secs: float | None, points: int
    ) -> bytes:
        key = ("series", *names, from_secs, to_secs, points)
        return self._once(key, lambda: self._series(names, _span_ns(from_secs, to_secs), points))

    def nights(self) -> bytes:
        return self._once(("nights",), self._nights)

    def events(self, limit: int) -> bytes:
        return self._once(("events", limit), lambda: self._events(limit))

    def levels(self, points: int) -> bytes:
        """The waking curve: the share right of each level's recent answers, and the returns of worlds."""
        return self._once(("levels", points), lambda: self._levels(points))

    def _series(self, names: Sequence[str], span_ns: tuple[int, int] | None, points: int) -> Any:
        found = self._store.series(self._session, names, points, span_ns=span_ns)
        return {
            "times": _plain(found.time_ns / 1e9),
            "ticks": found.ticks.tolist(),
            "series": {name: _plain(values) for name, values in found.values.items()},
        }

    def _nights(self) -> Any:
        ends = self._store.sleep_ends(self._session)
        return {
            "nights": [
                {"number": number, "end_tick": end, **to_plain(report)}
                for number, (report, end) in enumerate(zip(self._store.sleeps(self._session), ends), start=1)
            ]
        }

    def _events(self, limit: int) -> Any:
        return {"events": [to_plain(event) for event in self._store.events(self._session, limit=limit)]}

    def _levels(self, points: int) -> Any:
        grid = self._store.series(self._session, (), points)
        levels = [
            {
                "stream": level.stream,
                "name": level.name,
                "num_answers": int(level.num_answers.sum()),
                "share": _plain(level.trailing_share(grid.ticks, NUM_RECENT)),
            }
            for level in self._store.answers(self._session)
        ]
        worlds = [
            {
                "world": world.world,
                "num_episodes": len(world.ticks),
                "return": _plain(world.trailing(grid.ticks, NUM_EPISODES)),
            }
            for world in self._store.episodes(self._session)
        ]
        return {
            "times": _plain(grid.time_ns / 1e9),
            "ticks": grid.ticks.tolist(),
            "num_recent": NUM_RECENT,
            "levels": levels,
            "worlds": worlds,
        }

    def _once(self, key: tuple[object, ...], make: Callable[[], Any]) -> bytes:
        with self._lock:  # one reader at a time: the others wait for what it finds
            now = self._real_secs()
            found = self._cached.get(key)
            if found is not None and now - found[0] < CACHE_SECS:
                return found[1]
            made = json.dumps(make(), allow_nan=False, separators=(",", ":")).encode()
            self._cached.pop(key, None)
            while len(self._cached) >= MAX_CACHED:
                self._cached.pop(next(iter(self._cached)))
            self._cached[key] = (now, made)
            return made


def _span_ns(from_secs: float | None, to_secs: float | None) -> tuple[int, int] | None:
    if from_secs is None and to_secs is None:
        return None
    first = 0 if from_secs is None else int(from_secs * 1e9)
    return first, (1 << 62) if to_secs is None else int(to_secs * 1e9)


def _plain(values: np.ndarray) -> list[Any]:
    """To six significant digits; None for NaN. Text as it is."""
    if values.dtype == object:
        return list(values.tolist())
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
