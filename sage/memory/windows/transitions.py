"""L-memory: a ring of recent ticks on the reasoner's device, from which practice samples windows.

Invariant: a window never spans a break (a carry reset, new weights, a missing tick), and starts at a tick
whose carry is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.observation.fields import BOOL_FIELDS, TICK_FIELDS, TickFields, field_sizes
from sage.memory.windows.window import Window, WindowShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(TickFields[np.ndarray]):
    """One tick of the loop: the percept's fields (C,) and (N,), and what was done.

    action: (A,) float32, as done.  reward: NaN where there is none.  time_ns: since the run's start.
    tick: consecutive; a missing number is a gap.  reset: as in ObservationWindow. Both (W,), or one number
    for all worlds.
    """

    action: np.ndarray
    reward: np.ndarray | float
    time_ns: int
    tick: int
    reset: np.ndarray | float = 0.0


#: The content of a row, in this order.
PACKED_FIELDS = (*TICK_FIELDS, "action", "reward", "reset")


class TransitionRing:
    """The last `capacity` frames, one float32 row each; every `carry_every`-th has a carry (z_H, z_L).

    capacity: rounded up to a multiple of carry_every.  carry_shape: (S, D).  device: of rows and carries; a
    row is transferred in one copy.  is_held_out: whether the frame of a time, in ns since the run's start,
    examines nights; no window that `sample` returns has such a frame, or follows one within its own length.
    num_worlds: whose rewards and resets are apart.
    """

    def __init__(
        self,
        capacity: int,
        num_channels: int,
        num_sources: int,
        num_actions: int,
        carry_shape: tuple[int, int],
        carry_every: int = 4,
        *,
        device: torch.device | str = "cpu",
        is_held_out: Callable[[int], bool] | None = None,
        num_worlds: int = 1,
    ) -> None:
        if carry_every < 1 or capacity < carry_every:
            raise InputError(
                f"capacity is {capacity}, carry_every {carry_every}: give a carry_every of 1 or more and at"
                " least that capacity"
            )
        self.capacity = -(-capacity // carry_every) * carry_every
        self.carry_every = carry_every
        self._shape = WindowShape(
            num_channels=num_channels,
            num_sources=num_sources,
            num_actions=num_actions,
            carry_shape=carry_shape,
            length=1,
            num_worlds=num_worlds,
        )
        sizes = (*field_sizes(num_channels, num_sources).values(), num_actions, num_worlds, num_worlds)
        ends = np.cumsum(sizes)
        self._columns = [slice(int(end) - size, int(end)) for end, size in zip(ends, sizes)]
        self._rows = torch.zeros(
            self.capacity, int(ends[-1]), dtype=torch.float32, device=device
        )  # (capacity, W)
        # On the CPU a frame is written directly to its row; elsewhere to this one row, then copied.
        self._is_on_cpu = self._rows.device.type == "cpu"
        self._host_rows = self._rows.numpy() if self._is_on_cpu else np.zeros((1, int(ends[-1])), np.float32)
        carry_size = (self.capacity // carry_every, *carry_shape)
        self._z_H = torch.zeros(carry_size, dtype=torch.float32, device=device)
        self._z_L = torch.zeros(carry_size, dtype=torch.float32, device=device)
        self._ticks = np.zeros(self.capacity, np.int64)
        self._times_ns = np.zeros(self.capacity, np.int64)
        self._runs = np.zeros(self.capacity, np.int64)  # the unbroken run that a slot belongs to
        self._run = 0
        self._episodes = np.zeros(self.capacity, np.int64)  # the episode of a world that a slot belongs to
        self._episode = 0
        self._is_held_out = is_held_out
        self._num_held_out = 0
        self._held_out_before = np.zeros(self.capacity, np.int64)  # frames held out before that of a slot
        self._held_out_to = np.zeros(self.capacity, np.int64)  # the same, that of the slot included
        self._num_seen = 0

    def __len__(self) -> int:
        """Frames in the ring."""
        return min(self._num_seen, self.capacity)

    def append(self, frame: Frame, z_H: Tensor, z_L: Tensor) -> None:
        """Append one tick. z_H, z_L: (S, D) or (1, S, D), the carry before the reasoner saw this frame.

        A tick number that does not follow the last one is a break.
        """
        slot = self._num_seen % self.capacity
        if self._num_seen and frame.tick != self._ticks[slot - 1] + 1:
            self.mark_break()
        self._pack(frame, slot)
        self._ticks[slot] = frame.tick
        self._times_ns[slot] = frame.time_ns
        self._runs[slot] = self._run
        self._episode += bool(np.any(frame.reset))
        self._episodes[slot] = self._episode
        if self._is_held_out is not None:
            self._held_out_before[slot] = self._num_held_out
            self._num_held_out += self._is_held_out(frame.time_ns)
            self._held_out_to[slot] = self._num_held_out
        if slot % self.carry_every == 0:
            self._z_H[slot // self.carry_every].copy_(z_H.detach().reshape(self._z_H.shape[1:]))
            self._z_L[slot // self.carry_every].copy_(z_L.detach().reshape(self._z_L.shape[1:]))
        self._num_seen += 1

    def mark_break(self) -> None:
        """No window spans this call: for a carry reset, new weights, or a gap."""
        self._run += 1

    def sample(self, num: int, length: int, generator: torch.Generator) -> Window | None:
        """`num` windows of `length` transitions, drawn uniformly with replacement; None without one.

        A window may have resets in it, as `Window.reset` states. Frames that are held out are not drawn: a
        model that practised on them would be examined on what it was trained on, and a night would not.
        """
        starts = self._starts(length)
        # An examined window may end up to its length after the last frame of its block.
        first = np.maximum(starts - length, max(self._num_seen - self.capacity, 0)) % self.capacity
        last = (starts + length) % self.capacity
        starts = starts[self._held_out_before[first] == self._held_out_to[last]]
        if starts.size == 0:
            return None
        drawn = torch.randint(starts.size, (num,), generator=generator, device="cpu").numpy()
        return self._gather(starts[drawn], length)

    def latest(self, length: int) -> Window | None:
        """The newest window of `length` transitions (B = 1); None while the unbroken run is too short, and
        where a world started again in it.

        It ends up to carry_every - 1 ticks before the newest frame, because it starts at a carry.
        """
        starts = self._starts(length)
        newest = self._num_seen - 1
        if (
            starts.size == 0
            or starts[-1] + length + self.carry_every <= newest
            or not self._is_current(int(starts[-1]))
            or self._has_reset(int(starts[-1]), length)
        ):
            return None
        return self._gather(starts[-1:], length)

    def latest_to_now(self, min_length: int) -> Window | None:
        """The window that ends at the newest frame (B = 1); None while the unbroken run is too short.

        It has min_length to min_length + carry_every - 1 transitions. For burn-in with new weights.
        """
        newest = self._num_seen - 1
        start = (newest - min_length) // self.carry_every * self.carry_every
        if start < max(self._num_seen - self.capacity, 0) or not self._is_current(start):
            return None
        return self._gather(np.array([start]), newest - start)

    def _is_current(self, start: int) -> bool:
        return bool(self._runs[start % self.capacity] == self._run)

    def _has_reset(self, start: int, length: int) -> bool:
        first, last = self._episodes[start % self.capacity], self._episodes[(start + length) % self.capacity]
        return bool(first != last)

    def _starts(self, length: int) -> np.ndarray:
        """Frame numbers, from 0 at the first frame, where a window of `length` can start; oldest first."""
        if length < 1:
            raise InputError(f"length is {length}: give 1 transition or more")
        oldest = max(self._num_seen - self.capacity, 0)
        first = -(-oldest // self.carry_every) * self.carry_every
        starts = np.arange(first, self._num_seen - length, self.carry_every)
        # Runs are numbered in order, so equal numbers at both ends mean no break between.
        is_whole = self._runs[starts % self.capacity] == self._runs[(starts + length) % self.capacity]
        whole: np.ndarray = starts[is_whole]
        return whole

    def _pack(self, frame: Frame, slot: int) -> None:
        row = self._host_rows[slot if self._is_on_cpu else 0]
        for columns, field in zip(self._columns, PACKED_FIELDS):
            row[columns] = getattr(frame, field)
        if not self._is_on_cpu:
            self._rows[slot].copy_(torch.from_numpy(row))

    def _gather(self, starts: np.ndarray, length: int) -> Window:
        slots = (starts[:, None] + np.arange(length + 1)) % self.capacity  # (B, T+1)
        device = self._rows.device
        rows = self._rows[torch.from_numpy(slots).to(device)]  # (B, T+1, W)
        fields = {field: rows[..., columns] for field, columns in zip(PACKED_FIELDS, self._columns)}
        flags = {field: fields[field] > 0.5 for field in BOOL_FIELDS}
        carries = torch.from_numpy(slots[:, 0] // self.carry_every).to(device)
        ends = self._episodes[slots[:, -1]] != self._episodes[slots[:, 0]]
        if self._shape.num_worlds == 1:
            fields |= {name: fields[name][..., 0] for name in ("reward", "reset")}
        resets = fields.pop("reset")
        return Window(
            **fields | flags,
            reset=resets if ends.any() else None,
            z_H=self._z_H[carries],
            z_L=self._z_L[carries],
            start_tick=torch.from_numpy(self._ticks[slots[:, 0]]),
            start_time_ns=torch.from_numpy(self._times_ns[slots[:, 0]]),
        )
