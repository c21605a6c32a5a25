"""H-memory: the long-term memory of the loop, in three stores with a rule each.

Invariant: an experience is replayed, examined, or (next to an examined block) neither; never two of these.
All can be recalled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sage.memory.stores.examination import BlockSchedule, ExaminationStore, Role
from sage.memory.stores.recall import Recalled, RecallStore
from sage.memory.stores.replay import ReplayStore, replay_weight
from sage.memory.stores.snapshot import load_memory
from sage.memory.stores.state import Snapshotted
from sage.memory.windows.window import Window, WindowShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the loop offers to H-memory.

    window: consecutive ticks (B = 1), None when they must not be replayed.  key (key_dim,): what a query is
    compared with.  value (value_dim,): what recall returns.  surprise, salience, trust: 0..1, NaN where
    unknown.  context: a small number for the situation, e.g. a cluster.  time_ns: the window's end, since the
    run's start.
    """

    window: Window | None
    key: np.ndarray
    value: np.ndarray
    surprise: float
    salience: float
    trust: float
    context: int
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The result of an offer.  role: None when the experience has no window."""

    role: Role | None
    is_kept: bool
    is_recallable: bool


class HMemory:
    """Owns the three stores; the time of an experience decides which of them it may enter."""

    def __init__(self, *, replay: ReplayStore, examination: ExaminationStore, recall: RecallStore) -> None:
        self.replay = replay
        self.examination = examination
        self.recall_store = recall

    @classmethod
    def build(
        cls,
        shape: WindowShape,
        recall: RecallStore,
        *,
        num_experiences: int,
        examined_fraction: float,
        block_secs: float,
        seed: int,
        carry_dtype: torch.dtype = torch.float32,
    ) -> HMemory:
        """The stores for windows of `shape`; a quarter of num_experiences more is for examination.

        `recall` is given, because a memory sensor is built before the shape of all sensors is known.
        """
        schedule = BlockSchedule(fraction=examined_fraction, block_secs=block_secs, seed=seed)
        num_examined = max(num_experiences // 4, 2)
        return cls(
            replay=ReplayStore(num_experiences, shape, seed=seed, carry_dtype=carry_dtype),
            examination=ExaminationStore(
                num_examined, shape, schedule=schedule, seed=seed + 1, carry_dtype=carry_dtype
            ),
            recall=recall,
        )

    @property
    def stores(self) -> Mapping[str, Snapshotted]:
        """By name, for a snapshot."""
        return {"replay": self.replay, "examination": self.examination, "recall": self.recall_store}

    def remember(self, experience: Experience) -> Remembered:
        """Offer one experience to the stores that it may enter; each copies or rejects it by its own rule."""
        salience, trust = (np.nan_to_num(x) for x in (experience.salience, experience.trust))
        is_recallable = self.recall_store.write(
            experience.key,
            experience.value,
            salience=float(salience),
            trust=float(trust),
            time_ns=experience.time_ns,
            context=experience.context,
        )
        if experience.window is None:
            return Remembered(role=None, is_kept=False, is_recallable=is_recallable)
        role, is_kept = self._keep(experience.window, experience)
        return Remembered(role=role, is_kept=is_kept, is_recallable=is_recallable)

    def recall(self, query: np.ndarray, *, time_ns: int, k: int = 8) -> Recalled:
        """As RecallStore.recall; a memory sensor reads the same answer next."""
        return self.recall_store.recall(query, time_ns=time_ns, k=k)

    def mark_slept(self) -> None:
        """Call after a sleep, whatever its outcome: the windows examined until now become old."""
        self.examination.mark_slept()

    def load(self, path: Path) -> None:
        """Restore a file of `save_states`, or raise as load_memory does and change nothing.

        A new run counts time from its own start: earlier times become negative, in the same order.
        """
        load_memory(path, self.stores)
        timed = (self.replay, self.examination, self.recall_store)
        newest_ns = max((int(store.times_ns.max()) for store in timed if store.times_ns.size), default=0)
        for store in timed:
            store.shift_times(-newest_ns)

    def _keep(self, window: Window, experience: Experience) -> tuple[Role, bool]:
        start_ns = int(window.start_time_ns[0])  # sync: on the CPU already
        role = self.examination.schedule.role_of_span(start_ns, experience.time_ns)
        if role == "examined":
            return role, self.examination.consider(window, experience.time_ns)
        if role == "replay":
            weight = replay_weight(experience.surprise, experience.trust)
            return role, self.replay.consider(window, weight, experience.context, experience.time_ns)
        return role, False
