"""H-memory: the long-term memory of the loop, in three stores with a rule each.

Invariant: an experience is replayed, examined, or (next to an examined block) neither; never two of these.
All can be recalled. Every change is given to the recorder, so that a journal can repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sage.memory.stores.examination import BlockSchedule, ExaminationStore, Role
from sage.memory.stores.origins import Origin
from sage.memory.stores.recall import Recalled, RecallStore
from sage.memory.stores.replay import FLOOR_WEIGHT, ReplayStore, replay_weight
from sage.memory.stores.snapshot import load_memory
from sage.memory.stores.state import Snapshotted
from sage.memory.windows.window import Window, WindowShape

#: Arrays of the examination store that a sleep changes as a whole.
_SLEPT_ARRAYS = ("keys", "is_new")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What the loop offers to H-memory.

    window: consecutive ticks (B = 1), None when they must not be replayed.  key (key_dim,): what a query is
    compared with.  value (value_dim,): what recall returns.  surprise, salience, trust: 0..1, NaN where
    unknown.  context: a small number for the situation, e.g. a cluster.  time_ns: the window's end, since the
    run's start.  start_time_ns: its begin, None for time_ns.  scores: (5,) of salience, None where unknown.
    """

    window: Window | None
    key: np.ndarray
    value: np.ndarray
    surprise: float
    salience: float
    trust: float
    context: int
    time_ns: int
    start_time_ns: int | None = None
    scores: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The result of an offer.  role: None when the experience has no window."""

    role: Role | None
    is_kept: bool
    is_recallable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreChange:
    """One slot of a store after a write, or, with slot -1, arrays that changed as a whole.

    scalars, arrays: of the store, or of the slot; the arrays are views, copy what is kept.  origin: of the
    slot, with merged experiences.  first_id: the oldest of them.  salience, trust: 0..1, of the offer.
    """

    store: str
    slot: int
    scalars: Mapping[str, object]
    arrays: Mapping[str, np.ndarray]
    origin: Origin
    first_id: int
    context: int
    time_ns: int
    salience: float
    trust: float


class HMemory:
    """Owns the three stores; the time of an experience decides which of them it may enter.

    An episode is a stretch of `episode_secs`.  recorder: called after every change, e.g. for a journal.
    """

    def __init__(
        self,
        *,
        replay: ReplayStore,
        examination: ExaminationStore,
        recall: RecallStore,
        episode_secs: float = 5.0,
    ) -> None:
        self.replay = replay
        self.examination = examination
        self.recall_store = recall
        self.recorder: Callable[[StoreChange], None] | None = None
        self._episode_ns = round(episode_secs * 1e9)
        self._num_episodes = 0  # of earlier runs

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
            episode_secs=block_secs,
        )

    @property
    def stores(self) -> Mapping[str, Snapshotted]:
        """By name, for a snapshot."""
        return {"replay": self.replay, "examination": self.examination, "recall": self.recall_store}

    @property
    def newest_id(self) -> int:
        """Of the experiences so far, 0 before the first."""
        return max(store.origins.newest_id for store in self.stores.values())

    def remember(self, experience: Experience) -> Remembered:
        """Offer one experience to the stores that it may enter; each copies or rejects it by its own rule."""
        salience, trust = (float(np.nan_to_num(x)) for x in (experience.salience, experience.trust))
        start_ns, time_ns = experience.start_time_ns, experience.time_ns
        origin = self._origin(time_ns if start_ns is None else start_ns, time_ns)
        is_recallable = self.recall_store.write(
            experience.key,
            experience.value,
            salience=salience,
            trust=trust,
            time_ns=time_ns,
            context=experience.context,
            origin=origin,
            scores=experience.scores,
        )
        if is_recallable:
            self._record("recall", experience.context, time_ns, salience, trust)
        if experience.window is None:
            return Remembered(role=None, is_kept=False, is_recallable=is_recallable)
        role, is_kept = self._keep(
            experience.window,
            replay_weight(experience.surprise, experience.trust),
            experience.context,
            time_ns,
            origin,
            (salience, trust),
        )
        return Remembered(role=role, is_kept=is_kept, is_recallable=is_recallable)

    def offer_window(self, window: Window, *, context: int, time_ns: int) -> bool:
        """Offer a window (B = 1) without regard to salience; True when replay or examination copied it."""
        origin = self._origin(int(window.start_time_ns[0]), time_ns)  # sync: on the CPU already
        return self._keep(window, FLOOR_WEIGHT, context, time_ns, origin, (0.0, 0.0))[1]

    def recall(self, query: np.ndarray, *, time_ns: int, k: int = 8) -> Recalled:
        """As RecallStore.recall; a memory sensor reads the same answer next."""
        return self.recall_store.recall(query, time_ns=time_ns, k=k)

    def mark_slept(self, newest_id: int | None = None, *, is_recorded: bool = True) -> None:
        """Call after a sleep: the examined windows become old. newest_id: the one when the sleep began, of
        which later windows are not; None: all are.  is_recorded: whether the recorder gets the change.
        """
        self.examination.mark_slept(newest_id)
        if is_recorded and self.recorder is not None:
            state = self.examination.state()
            arrays = {name: state.arrays[name] for name in _SLEPT_ARRAYS}
            self.recorder(
                StoreChange(
                    store="examination",
                    slot=-1,
                    scalars=state.scalars,
                    arrays=arrays,
                    origin=Origin(),
                    first_id=0,
                    context=0,
                    time_ns=int(self.examination.times_ns.max(initial=0)),
                    salience=0.0,
                    trust=0.0,
                )
            )

    def load(self, path: Path, *, elapsed_ns: int | None = None) -> None:
        """Restore a file of `save_states`, or raise as load_memory does and change nothing.

        A new run counts time from its own start: earlier times become negative, in the same order.
        elapsed_ns: between the start of the run that wrote the file and this one's; None: unknown, the newest
        memory is at 0.
        """
        load_memory(path, self.stores)
        newest_ns = self._newest_ns()
        self._shift_times(-(newest_ns if elapsed_ns is None else max(elapsed_ns, newest_ns)))
        self.begin_episodes()

    def postpone_start(self, by_ns: int) -> None:
        """The run starts `by_ns` later than was assumed when its memories were loaded: they are older."""
        self._shift_times(-by_ns)

    def begin_episodes(self) -> None:
        """Number the episodes of a new run after those of earlier runs."""
        self._num_episodes = max(store.origins.newest_episode for store in self.stores.values())

    def episode_at(self, time_ns: int) -> int:
        """Number of the episode at a time since the run's start, from 1."""
        return self._num_episodes + 1 + max(time_ns, 0) // self._episode_ns

    def _newest_ns(self) -> int:
        timed = (self.replay, self.examination, self.recall_store)
        return max((int(store.times_ns.max()) for store in timed if store.times_ns.size), default=0)

    def _shift_times(self, by_ns: int) -> None:
        for store in (self.replay, self.examination, self.recall_store):
            store.shift_times(by_ns)

    def _origin(self, start_ns: int, time_ns: int) -> Origin:
        return Origin(
            id=self.newest_id + 1,
            episode=self.episode_at(time_ns),
            first_episode=self.episode_at(start_ns),
            first_time_ns=start_ns,
        )

    def _keep(
        self,
        window: Window,
        weight: float,
        context: int,
        time_ns: int,
        origin: Origin,
        scores: tuple[float, float],
    ) -> tuple[Role, bool]:
        start_ns = int(window.start_time_ns[0])  # sync: on the CPU already
        role = self.examination.schedule.role_of_span(start_ns, time_ns)
        is_kept = False
        if role == "examined":
            is_kept = self.examination.consider(window, time_ns, origin)
        elif role == "replay":
            is_kept = self.replay.consider(window, weight, context, time_ns, origin)
        if is_kept:
            self._record("examination" if role == "examined" else "replay", context, time_ns, *scores)
        return role, is_kept

    def _record(self, name: str, context: int, time_ns: int, salience: float, trust: float) -> None:
        """Give the newest write of a store to the recorder."""
        if self.recorder is None:
            return
        store = self.stores[name]
        state, origins = store.state(), store.origins
        slot = origins.last_slot
        self.recorder(
            StoreChange(
                store=name,
                slot=slot,
                scalars=state.scalars,
                arrays={field: array[slot] for field, array in state.arrays.items()},
                origin=origins.of(slot),
                first_id=int(origins.first_ids[slot]),
                context=context,
                time_ns=time_ns,
                salience=salience,
                trust=trust,
            )
        )
