"""A window: consecutive ticks as tensors, its sizes, and preallocated slots for many windows.

Invariant: a slot contains a copy, on the CPU, of sizes fixed at construction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sage.errors import InputError
from sage.hrm_core.observation.fields import BOOL_FIELDS, field_sizes
from sage.hrm_core.observation.window import ObservationWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowShape:
    """Sizes of a window: C channels over N sources, A actions, a carry of (S, D) twice, `length`
    transitions, rewards of W worlds.
    """

    num_channels: int
    num_sources: int
    num_actions: int
    carry_shape: tuple[int, int]
    length: int
    num_worlds: int = field(default=1, repr=False)  # snapshots compare the text of a shape

    def __post_init__(self) -> None:
        sizes = (self.num_channels, self.num_sources, self.num_actions, *self.carry_shape)
        if self.length < 1 or min(sizes) < 0:
            raise InputError(f"{self}: give a length of 1 or more and no size below 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(ObservationWindow):
    """B windows of T + 1 consecutive ticks, and the start of each.

    start_tick, start_time_ns: (B,) int64, the time since the run's start.
    """

    start_tick: Tensor
    start_time_ns: Tensor

    def __len__(self) -> int:
        """B, the number of windows."""
        return int(self.reward.shape[0])

    def __getitem__(self, rows: Tensor | slice) -> Window:
        """Some of the windows; a slice shares memory."""
        reset = None if self.reset is None else self.reset[rows]
        return Window(**{name: getattr(self, name)[rows] for name in WINDOW_FIELDS}, reset=reset)

    def to(self, device: torch.device | str) -> Window:
        """The same window on `device`."""
        reset = None if self.reset is None else self.reset.to(device)
        return Window(**{name: getattr(self, name).to(device) for name in WINDOW_FIELDS}, reset=reset)

    def replace(self, **changed: Tensor) -> Window:
        """The same window with some tensors changed."""
        return dataclasses.replace(self, **changed)


#: What is stored of a window. No stored window has a reset in it.
WINDOW_FIELDS = tuple(each.name for each in dataclasses.fields(Window) if each.name != "reset")


def concatenate(parts: Sequence[Window]) -> Window | None:
    """The windows of all parts in order, copied, of windows without a reset; None without a part."""
    if not parts:
        return None
    return Window(**{name: torch.cat([getattr(part, name) for part in parts]) for name in WINDOW_FIELDS})


def on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU; those on a device are transferred in one copy."""
    return {**tensors, **in_one_copy({name: tensor for name, tensor in tensors.items() if not tensor.is_cpu})}


def in_one_copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU as one byte tensor."""
    if not tensors:
        return {}
    packed = torch.cat([tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in tensors.values()])
    host = packed.cpu()  # sync: only on ticks that store a window
    parts = host.split([tensor.nbytes for tensor in tensors.values()])
    return {
        name: part.clone().view(tensor.dtype).view(tensor.shape)
        for part, (name, tensor) in zip(parts, tensors.items())
    }


class WindowSlots:
    """`capacity` windows of one shape on the CPU, each field one tensor, allocated once.

    carry_dtype: float32, or float16 at half the bytes; gathered windows have float32 carries either way.
    """

    def __init__(
        self, capacity: int, shape: WindowShape, *, carry_dtype: torch.dtype = torch.float32
    ) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}: give 1 window or more")
        self.capacity = capacity
        self.shape = shape
        self.carry_dtype = carry_dtype
        self._tensors = {
            name: torch.zeros((capacity, *size), dtype=dtype, device="cpu")
            for name, size, dtype in _layout(shape, carry_dtype)
        }

    def put(self, slot: int, window: Window) -> None:
        """Copy a single window (B = 1) into `slot`. InputError when its sizes differ from the slots'."""
        if len(window) != 1:
            raise InputError(f"there are {len(window)} windows: give one")
        given = {name: getattr(window, name)[0] for name in self._tensors}
        for name, tensor in self._tensors.items():
            if given[name].shape != tensor.shape[1:]:
                raise InputError(
                    f"window.{name} has shape {tuple(given[name].shape)}, this store has"
                    f" {tuple(tensor.shape[1:])}"
                )
        for name, tensor in on_host(given).items():
            self._tensors[name][slot].copy_(tensor)

    def gather(self, slots: np.ndarray) -> Window:
        """The windows in `slots` (num,), copied, in that order."""
        index = torch.from_numpy(np.ascontiguousarray(slots, dtype=np.int64))  # (num,)
        gathered = {name: tensor.index_select(0, index) for name, tensor in self._tensors.items()}
        return Window(**{**gathered, "z_H": gathered["z_H"].float(), "z_L": gathered["z_L"].float()})

    def shift_start_times(self, by_ns: int) -> None:
        """Add `by_ns` to the begin of every window."""
        self._tensors["start_time_ns"] += by_ns

    def geometry(self) -> dict[str, int | float | str]:
        """The sizes that are equal for slots of the same windows."""
        found: dict[str, int | float | str] = {
            "capacity": self.capacity,
            "shape": str(self.shape),
            "carry_dtype": str(self.carry_dtype),
        }
        return found if self.shape.num_worlds == 1 else {**found, "num_worlds": self.shape.num_worlds}

    def arrays(self, num_used: int) -> dict[str, np.ndarray]:
        """The first `num_used` slots, as views."""
        return {f"window.{name}": tensor[:num_used].numpy() for name, tensor in self._tensors.items()}

    def load(self, arrays: Mapping[str, np.ndarray], num_used: int) -> None:
        """Restore what `arrays` returned."""
        for name, tensor in self._tensors.items():
            tensor[:num_used].copy_(torch.from_numpy(arrays[f"window.{name}"]))


def _layout(shape: WindowShape, carry_dtype: torch.dtype) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """Field, size of one window, dtype."""
    ticks = shape.length + 1
    fields = [
        (name, (ticks, size), torch.bool if name in BOOL_FIELDS else torch.float32)
        for name, size in field_sizes(shape.num_channels, shape.num_sources).items()
    ]
    return [
        *fields,
        ("action", (ticks, shape.num_actions), torch.float32),
        ("reward", (ticks,) if shape.num_worlds == 1 else (ticks, shape.num_worlds), torch.float32),
        ("z_H", shape.carry_shape, carry_dtype),
        ("z_L", shape.carry_shape, carry_dtype),
        ("start_tick", (), torch.int64),
        ("start_time_ns", (), torch.int64),
    ]
