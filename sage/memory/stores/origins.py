"""Where each memory of a store comes from: the id of its experience, its episodes and its times.

Invariant: constant bytes a slot, also for a memory that many were merged into: it has the oldest and the
newest of its episodes and times, and counts as derived from all between them. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_FIELDS = ("ids", "first_ids", "episodes", "first_episodes", "first_times_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """id: of the experience, from 1 (0: from before ids existed).  episode: it ends in, from 1.
    first_episode, first_time_ns: where it begins.
    """

    id: int = 0
    episode: int = 0
    first_episode: int = 0
    first_time_ns: int = 0


UNKNOWN = Origin()


class Origins:
    """The origins of `capacity` slots; that of a merged memory spans all that were merged into it.

    last_slot: of the newest write, -1 before the first.  newest_id, newest_episode: the highest so far, also
    of experiences that are not in a slot any more.
    """

    def __init__(self, capacity: int) -> None:
        self.last_slot = -1
        self.newest_id = self.newest_episode = 0
        self.ids = np.zeros(capacity, np.int64)
        self.first_ids = np.zeros(capacity, np.int64)
        self.episodes = np.zeros(capacity, np.int64)
        self.first_episodes = np.zeros(capacity, np.int64)
        self.first_times_ns = np.zeros(capacity, np.int64)

    def put(self, slot: int, origin: Origin) -> None:
        """`slot` holds one experience."""
        self.last_slot = slot
        self._note(origin)
        self.ids[slot] = self.first_ids[slot] = origin.id
        self.episodes[slot] = origin.episode
        self.first_episodes[slot] = origin.first_episode
        self.first_times_ns[slot] = origin.first_time_ns

    def merge(self, slot: int, origin: Origin) -> None:
        """`slot` holds one experience more."""
        self.last_slot = slot
        self._note(origin)
        self.ids[slot] = max(self.ids[slot], origin.id)
        self.episodes[slot] = max(self.episodes[slot], origin.episode)
        self.first_ids[slot] = min(self.first_ids[slot], origin.id)
        self.first_episodes[slot] = min(self.first_episodes[slot], origin.first_episode)
        self.first_times_ns[slot] = min(self.first_times_ns[slot], origin.first_time_ns)

    def _note(self, origin: Origin) -> None:
        self.newest_id = max(self.newest_id, origin.id)
        self.newest_episode = max(self.newest_episode, origin.episode)

    def of(self, slot: int) -> Origin:
        """The origin of a slot. Its id is the newest; `first_ids` has the oldest."""
        return Origin(
            id=int(self.ids[slot]),
            episode=int(self.episodes[slot]),
            first_episode=int(self.first_episodes[slot]),
            first_time_ns=int(self.first_times_ns[slot]),
        )

    def shift_times(self, by_ns: int) -> None:
        self.first_times_ns += by_ns

    def arrays(self, num_used: int) -> dict[str, np.ndarray]:
        """The first `num_used` slots, as views."""
        return {name: getattr(self, name)[:num_used] for name in _FIELDS}

    def newest(self) -> dict[str, int]:
        """The highest numbers, for the scalars of the store's state: forgotten ones are not used again."""
        return {"newest_id": self.newest_id, "newest_episode": self.newest_episode}

    def load(
        self, arrays: Mapping[str, np.ndarray], times_ns: np.ndarray, scalars: Mapping[str, object]
    ) -> None:
        """Restore what `arrays` and `newest` returned. A snapshot of an earlier version has none: the ids are
        0, and each memory begins at its time in times_ns.
        """
        num_used = len(times_ns)
        for name in _FIELDS:
            old = times_ns if name == "first_times_ns" else 0
            getattr(self, name)[:num_used] = arrays[name][:num_used] if name in arrays else old
        self.newest_id = max(int(self.ids.max()), _number(scalars, "newest_id"))
        self.newest_episode = max(int(self.episodes.max()), _number(scalars, "newest_episode"))


def _number(scalars: Mapping[str, object], name: str) -> int:
    found = scalars.get(name, 0)
    return found if isinstance(found, int) else 0
