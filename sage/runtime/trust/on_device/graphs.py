"""Steps on a CUDA device, recorded once and replayed by one call of the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from sage.errors import InputError

NUM_WARM = 3  # runs before the recording, in which libraries allocate and choose


def recorded(step: Callable[[], None], tensors: Iterable[Tensor]) -> torch.cuda.CUDAGraph:
    """A graph whose `replay()` does what `step()` does, with the values that are then in its tensors.

    tensors: all that `step` changes, in place (`DeviceFilters.tensors`, `DeviceTrust.tensors`); they keep
    their values. Inputs of `step` have to be tensors that stay where they are: copy new ones into them.
    InputError without a CUDA device.
    """
    changed = list(tensors)
    elsewhere = sorted({each.device.type for each in changed} - {"cuda"})
    if elsewhere or not changed:
        raise InputError(f"tensors are on {', '.join(elsewhere) or 'no device'}: a graph needs them on cuda")
    kept = [each.clone() for each in changed]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(NUM_WARM):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    for tensor, value in zip(changed, kept, strict=True):
        tensor.copy_(value)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph
