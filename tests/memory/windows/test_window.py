"""Slots hold copies of windows, of one shape, in a fixed number of bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sage.memory.windows.window import (
    WINDOW_FIELDS,
    Window,
    WindowShape,
    WindowSlots,
    concatenate,
    in_one_copy,
)

Live = Callable[..., Window]


def test_slots_give_back_what_was_put(shape: WindowShape, live: Live) -> None:
    slots = WindowSlots(3, shape)
    for slot in range(3):
        slots.put(slot, live(slot, start_ns=10 * slot))
    window = slots.gather(np.array([2, 0]))
    assert len(window) == 2
    assert window.num_ticks == shape.length
    assert window.start_time_ns.tolist() == [20, 0]
    assert (window[0:1].values == 2).all()
    assert all(getattr(window, name).dtype == getattr(live(), name).dtype for name in WINDOW_FIELDS)


def test_a_put_window_is_a_copy(shape: WindowShape, live: Live) -> None:
    slots, window = WindowSlots(1, shape), live(1.0)
    slots.put(0, window)
    window.values.fill_(9.0)
    assert (slots.gather(np.array([0])).values == 1).all()


def test_half_carries_take_half_the_bytes_and_come_back_single(shape: WindowShape, live: Live) -> None:
    full, half = WindowSlots(8, shape), WindowSlots(8, shape, carry_dtype=torch.float16)
    sizes = [sum(array.nbytes for array in slots.arrays(slots.capacity).values()) for slots in (full, half)]
    assert sizes[0] - sizes[1] == 8 * 2 * 2 * int(np.prod(shape.carry_shape))
    half.put(0, live(0.5))
    z_H = half.gather(np.array([0])).z_H
    assert z_H.dtype == torch.float32
    assert (z_H == 0.5).all()


def test_a_window_of_another_shape_is_refused(shape: WindowShape, live: Live) -> None:
    slots = WindowSlots(1, shape)
    with pytest.raises(ValueError, match=r"window\.values"):
        slots.put(0, live(length=shape.length + 1))


def test_two_windows_at_once_are_refused(shape: WindowShape, live: Live) -> None:
    two = Window(**{name: getattr(live(), name).repeat_interleave(2, dim=0) for name in WINDOW_FIELDS})
    with pytest.raises(ValueError, match="2 windows"):
        WindowSlots(1, shape).put(0, two)


def test_replace_changes_one_tensor_only(live: Live) -> None:
    window = live(1.0)
    changed = window.replace(values=window.values + 1)
    assert (changed.values == 2).all()
    assert changed.deltas is window.deltas


def test_windows_are_put_one_after_the_other(live: Live) -> None:
    both = concatenate([live(1.0), live(2.0)])
    assert both is not None
    assert both.values[:, 0, 0].tolist() == [1, 2]
    assert concatenate([]) is None


def test_a_window_without_transitions_is_refused(shape: WindowShape) -> None:
    with pytest.raises(ValueError, match="length"):
        dataclasses.replace(shape, length=0)


def test_tensors_of_every_kind_come_through_one_copy_to_the_bit() -> None:
    values = {
        "single": torch.tensor([[1.5, float("nan")], [float("-inf"), -0.0]]),
        "half": torch.arange(3, dtype=torch.float16),
        "flags": torch.tensor([True, False, True]),
        "time": torch.tensor(2**62 + 1),
        "turned": torch.arange(6.0).view(2, 3).t(),
        "none": torch.zeros(0, 4),
    }
    moved = in_one_copy(values)
    assert list(moved) == list(values)
    for name, tensor in values.items():
        assert (moved[name].dtype, moved[name].shape) == (tensor.dtype, tensor.shape), name
        assert moved[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes(), name
