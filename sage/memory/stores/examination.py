"""The experiences that examine a night and are never replayed: blocks of time, chosen by a keyed hash.

Invariant: whether a block is examined depends on the seed and the time alone, so that the loop, the sleep
process and a resumed run agree.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch

from sage.errors import InputError
from sage.memory.stores.origins import UNKNOWN, Origin, Origins
from sage.memory.stores.state import StoreState
from sage.memory.windows.window import Window, WindowShape, WindowSlots

Role = Literal["replay", "examined", "embargoed"]


class BlockSchedule:
    """Blocks of time; of each round(1 / fraction) blocks exactly one is examined, its neighbours embargoed.

    fraction: 0 to 0.5.  block_secs: not shorter than a window, or most windows are embargoed.
    """

    def __init__(self, *, fraction: float, block_secs: float, seed: int) -> None:
        if not 0.0 < fraction < 0.5:
            raise InputError(f"fraction is {fraction}: give a fraction of blocks above 0 and below 0.5")
        if block_secs <= 0:
            raise InputError(f"block_secs is {block_secs}: give a time above 0")
        self._run_length = round(1 / fraction)
        self.block_ns = round(block_secs * 1e9)
        self._key = seed.to_bytes(8, "big", signed=True)

    def role_of_span(self, start_ns: int, end_ns: int) -> Role:
        """The use of an experience from start to end; examined and replayed spans never overlap.

        Examined: starts in an examined block and ends in it or the next. Replay: starts in a replay block and
        touches no examined block or its neighbours. Embargoed: neither.
        """
        first, last = start_ns // self.block_ns, end_ns // self.block_ns
        if self._is_examined_block(first):
            return "examined" if last <= first + 1 else "embargoed"
        is_near = self._is_examined_block(first - 1) or any(
            self._is_examined_block(b) for b in range(first + 1, last + 2)
        )
        return "embargoed" if is_near else "replay"

    def is_examined(self, time_ns: int) -> bool:
        """Whether that time, in ns since the run's start, is in an examined block."""
        return self._is_examined_block(time_ns // self.block_ns)

    def _is_examined_block(self, block: int) -> bool:
        run, offset = divmod(block, self._run_length)
        digest = hashlib.blake2b(run.to_bytes(8, "big", signed=True), digest_size=8, key=self._key).digest()
        return offset == int.from_bytes(digest, "big") % self._run_length


class ExaminationStore:
    """Held-out windows: up to half the capacity since the last sleep (new), the rest from before it (old).

    Both halves are reservoirs: each window has one random key, and the largest keys stay. Merging the new
    half into the old at `mark_slept` therefore leaves a uniform sample of all examined windows.
    """

    def __init__(
        self,
        capacity: int,
        shape: WindowShape,
        *,
        schedule: BlockSchedule,
        seed: int,
        carry_dtype: torch.dtype = torch.float32,
    ) -> None:
        if capacity < 2:
            raise InputError(f"capacity is {capacity}: give 2 or more, for a new and an old window")
        self.schedule = schedule
        self.num_seen = 0
        self._slots = WindowSlots(capacity, shape, carry_dtype=carry_dtype)
        self._keys = np.full(capacity, -np.inf)  # -inf: a free slot
        self._is_new = np.zeros(capacity, bool)
        self._times_ns = np.zeros(capacity, np.int64)
        self.origins = Origins(capacity)
        self._generator = np.random.default_rng(seed)

    @property
    def capacity(self) -> int:
        return self._slots.capacity

    def __len__(self) -> int:
        return int(np.count_nonzero(self._is_used()))

    @property
    def num_new(self) -> int:
        return int(np.count_nonzero(self._is_new))

    def consider(self, window: Window, time_ns: int, origin: Origin = UNKNOWN) -> bool:
        """Offer one experience (B = 1) whose role is "examined"; True when the store copied it."""
        self.num_seen += 1
        key = self._generator.random()
        slot = self._new_slot(key)
        if slot is None:
            return False
        self._slots.put(slot, window)
        self._keys[slot], self._is_new[slot], self._times_ns[slot] = key, True, time_ns
        self.origins.put(slot, origin)
        return True

    def new(self) -> Window | None:
        """The windows since the last sleep, oldest first, copied; None without one."""
        return self._gather(self._is_new)

    def old(self) -> Window | None:
        """The windows from before the last sleep, oldest first, copied; None without one."""
        return self._gather(self._is_used() & ~self._is_new)

    def mark_slept(self, newest_id: int | None = None) -> None:
        """Call after a sleep: the new windows become old, and the old half keeps its largest keys.

        newest_id: of the experiences that the sleep began with; later windows stay new. None: all become old.
        """
        if newest_id is None:
            self._is_new[:] = False
        else:
            self._is_new &= self.origins.ids > newest_id
        old = np.flatnonzero(self._is_used() & ~self._is_new)
        num_over = len(old) - (self.capacity - self.capacity // 2)
        if num_over > 0:
            self._keys[old[np.argsort(self._keys[old])[:num_over]]] = -np.inf

    def _new_slot(self, key: float) -> int | None:
        if self.num_new < self.capacity // 2:
            return int(np.argmin(self._keys))  # a free slot: the old half has the others at most
        smallest = int(np.where(self._is_new, self._keys, np.inf).argmin())
        return smallest if key > self._keys[smallest] else None

    def _is_used(self) -> np.ndarray:
        return self._keys > -np.inf

    def _gather(self, is_wanted: np.ndarray) -> Window | None:
        slots = np.flatnonzero(is_wanted)
        return (
            self._slots.gather(slots[np.argsort(self._times_ns[slots], kind="stable")])
            if slots.size
            else None
        )

    @property
    def times_ns(self) -> np.ndarray:
        """Time of each window, in ns since the run's start."""
        times_ns: np.ndarray = self._times_ns[self._is_used()]
        return times_ns

    def shift_times(self, by_ns: int) -> None:
        """Add `by_ns` to every time: a new run counts from its own start. The windows' own begin moves by
        whole blocks, so that blocks of different runs have different numbers.
        """
        self._times_ns += by_ns
        self.origins.shift_times(by_ns)
        self._slots.shift_start_times(by_ns // self.schedule.block_ns * self.schedule.block_ns)

    def state(self) -> StoreState:
        num_slots = int(np.flatnonzero(self._is_used()).max(initial=-1)) + 1
        own = {"keys": self._keys, "is_new": self._is_new, "times_ns": self._times_ns}
        return StoreState(
            geometry=self._slots.geometry(),
            scalars={
                "num_seen": self.num_seen,
                "num_slots": num_slots,
                "block_ns": self.schedule.block_ns,
                "generator": self._generator.bit_generator.state,
                **self.origins.newest(),
            },
            arrays={**own, **self._slots.arrays(num_slots), **self.origins.arrays(self.capacity)},
        )

    def restore(self, state: StoreState) -> None:
        self.num_seen = int(state.scalars["num_seen"])
        self._keys[:] = state.arrays["keys"]
        self._is_new[:] = state.arrays["is_new"]
        self._times_ns[:] = state.arrays["times_ns"]
        self._generator.bit_generator.state = state.scalars["generator"]
        self._slots.load(state.arrays, len(state.arrays["window.start_tick"]))
        self.origins.load(state.arrays, self._times_ns, state.scalars)
