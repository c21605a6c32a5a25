"""H-memory: what the loop keeps of its life, in three stores with three rules.

Invariant: an experience is replayed, examined, or (near an examined one) neither; never two of these. All may
be recalled.
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
from sage.memory.stores.snapshot import load_memory, save_memory
from sage.memory.stores.state import Snapshotted
from sage.memory.windows.window import Window, WindowShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the loop lived and found worth keeping.

    window: the stretch of ticks (B = 1), None when it cannot be replayed.  key (key_dim,), value
    (value_dim,): what to recall it by and as.  surprise, salience, trust: 0..1, NaN where unknown.  context:
    a small number for the situation, e.g. the state or a cluster.  time_ns: its end, since the run's epoch,
    as the window's start_time_ns is.
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
    """What became of an experience.  role: None when it had no window."""

    role: Role | None
    is_kept: bool
    is_recallable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HMemoryStatistics:
    """Counts at one moment.

    num_seen: experiences offered to replay or examination, ever.  num_embargoed: too near an examined block,
    since the process began.  num_bytes: allocated, constant for life.
    """

    num_seen: int
    num_embargoed: int
    num_replay: int
    replay_capacity: int
    num_examined_new: int
    num_examined_old: int
    num_recall: int
    recall_capacity: int
    num_queries: int
    num_hits: int
    num_bytes: int


class HMemory:
    """Owns the three stores; decides by time which of them an experience may enter."""

    def __init__(self, *, replay: ReplayStore, examination: ExaminationStore, recall: RecallStore) -> None:
        self.replay = replay
        self.examination = examination
        self.recall_store = recall
        self._num_embargoed = 0

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
        """The stores for windows of `shape`; a quarter of num_experiences more are held for examination.

        `recall` exists before, because a sensor that recalls is made before the shape of all sensors is
        known.
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
        """Offer one experience to the stores it may enter; each decides by its own rule, and copies what it
        keeps.
        """
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
        """As RecallStore.recall; the answer is also what a memory sensor reads next."""
        return self.recall_store.recall(query, time_ns=time_ns, k=k)

    def novelty(self, query: np.ndarray) -> float:
        """As RecallStore.novelty."""
        return self.recall_store.novelty(query)

    def mark_slept(self) -> None:
        """A sleep ended, however it ended: what was examined before it is old from now on."""
        self.examination.mark_slept()

    def save(self, path: Path) -> int:
        """Write the three stores, whole or not at all; returns the file's bytes. OSError when the disk
        refuses.
        """
        return save_memory(path, self.stores)

    def load(self, path: Path) -> None:
        """Restore what `save` wrote, or raise as load_memory does and change nothing.

        A new run counts time from its own start: earlier times become negative, in the same order.
        """
        load_memory(path, self.stores)
        timed = (self.replay, self.examination, self.recall_store)
        newest_ns = max((int(store.times_ns.max()) for store in timed if store.times_ns.size), default=0)
        for store in timed:
            store.shift_times(-newest_ns)

    def statistics(self) -> HMemoryStatistics:
        num_new = self.examination.num_new
        return HMemoryStatistics(
            num_seen=self.replay.num_seen + self.examination.num_seen,
            num_embargoed=self._num_embargoed,
            num_replay=len(self.replay),
            replay_capacity=self.replay.capacity,
            num_examined_new=num_new,
            num_examined_old=len(self.examination) - num_new,
            num_recall=len(self.recall_store),
            recall_capacity=self.recall_store.capacity,
            num_queries=self.recall_store.num_queries,
            num_hits=self.recall_store.num_hits,
            num_bytes=self.replay.num_bytes + self.examination.num_bytes + self.recall_store.num_bytes,
        )

    def _keep(self, window: Window, experience: Experience) -> tuple[Role, bool]:
        start_ns = int(window.start_time_ns[0])  # sync: kept on the CPU since it was lived
        role = self.examination.schedule.role_of_span(start_ns, experience.time_ns)
        if role == "examined":
            return role, self.examination.consider(window, experience.time_ns)
        if role == "replay":
            weight = replay_weight(experience.surprise, experience.trust)
            return role, self.replay.consider(window, weight, experience.context, experience.time_ns)
        self._num_embargoed += 1
        return role, False
