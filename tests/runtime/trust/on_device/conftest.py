"""Watches what torch is asked for: whether a computation could be recorded by a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that wait for the device, or whose result has a shape that only the device can compute.
WAITING = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "_unique2", "equal")


class Calls(TorchDispatchMode):
    """Counts operators, and keeps the names of those that wait or leave the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.wrong: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        name = func.overloadpacket.__name__
        devices = {each.device.type for each in args if isinstance(each, torch.Tensor)}
        target = (kwargs or {}).get("device")
        if name in WAITING or (name == "_to_copy" and target is not None and {target.type} != devices):
            self.wrong.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def calls_of() -> Callable[[Callable[[], None]], Calls]:
    """What a step asks torch for."""

    def watch(step: Callable[[], None]) -> Calls:
        with Calls() as calls:
            step()
        return calls

    return watch


@pytest.fixture
def run_without_values() -> Callable[[Callable[[torch.device], Callable[[], None]]], None]:
    """Runs `make(device)` and the step that it returns on a device whose tensors have shapes and no values:
    what reads a value, or mixes devices, raises.
    """

    def run(make: Callable[[torch.device], Callable[[], None]]) -> None:
        make(torch.device("meta"))()

    return run
