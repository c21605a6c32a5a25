"""Watches what torch is asked for: whether a computation could be recorded by a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: Operators that wait for the device, or whose result has a shape that only the device can compute.
WAITING = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "_unique2", "equal")


class Calls(TorchDispatchMode):
    """Counts operators; keeps the names of those that wait, and the devices of all tensors in them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.waiting: list[str] = []
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.count += 1
        if (name := func.overloadpacket.__name__) in WAITING:
            self.waiting.append(name)
        tensors = (each for each in tree_leaves((args, kwargs, found)) if isinstance(each, torch.Tensor))
        self.devices.update(each.device.type for each in tensors)
        return found


@pytest.fixture
def calls_of() -> Callable[[Callable[[], None]], Calls]:
    """What a step asks torch for."""

    def watch(step: Callable[[], None]) -> Calls:
        with Calls() as calls:
            step()
        return calls

    return watch


@pytest.fixture
def assert_stays_on_device(calls_of: Callable[[Callable[[], None]], Calls]) -> Callable[..., None]:
    """Runs the step that `make(device)` returns on a device whose tensors have shapes and no values: what
    reads a value raises there. No tensor of another device may take part.
    """

    def run(make: Callable[[torch.device], Callable[[], None]]) -> None:
        calls = calls_of(make(torch.device("meta")))
        assert calls.count > 10
        assert calls.devices == {"meta"}

    return run
