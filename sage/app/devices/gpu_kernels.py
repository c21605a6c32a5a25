"""What a device computes right, found out by computing: small kernels whose results are compared with the
processor's.

Invariant: nothing is guessed from names or from what a wheel claims; a kernel that raises or is wrong is a
finding with the reason, never an error of the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sage.app.devices.finding import Finding

if TYPE_CHECKING:
    import torch

#: Of the largest value, by dtype.
TOLERANCES = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}
SIZE, HEADS, LENGTH = 64, 2, 32


def examine_kernels(device: torch.device) -> tuple[Finding, ...]:
    """One finding for each kernel, and one for where the device's memory is."""
    findings = [_tried(f"matrix product, {name}", partial(_product, device, name)) for name in TOLERANCES]
    findings += [_tried(f"attention, {name}", partial(_attention, device, name)) for name in TOLERANCES]
    findings.append(_tried("copy from pinned memory", partial(_pinned, device)))
    return (*findings, _memory(device))


def _tried(name: str, compute: Callable[[], str]) -> Finding:
    """compute: returns what is wrong, "" where nothing is."""
    topic = f"kernel: {name}"
    try:
        problem = compute()
    except (RuntimeError, NotImplementedError) as error:
        return Finding(topic=topic, found="fails", why=str(error).splitlines()[0])
    if problem:
        return Finding(topic=topic, found="wrong", why=problem)
    return Finding(topic=topic, found="works", why="its result equals the processor's")


def _product(device: torch.device, dtype: str) -> str:
    import torch

    left, right = _drawn(SIZE, SIZE), _drawn(SIZE, SIZE)
    kind = getattr(torch, dtype)
    found = (left.to(device, kind) @ right.to(device, kind)).double().cpu()
    return _difference(found, left.double() @ right.double(), dtype)


def _attention(device: torch.device, dtype: str) -> str:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    query, key, value = (_drawn(1, HEADS, LENGTH, SIZE) for _ in range(3))
    kind = getattr(torch, dtype)
    found = scaled_dot_product_attention(query.to(device, kind), key.to(device, kind), value.to(device, kind))
    scores = query.double() @ key.double().transpose(-1, -2) / SIZE**0.5  # (1, heads, length, length)
    return _difference(found.double().cpu(), scores.softmax(-1) @ value.double(), dtype)


def _pinned(device: torch.device) -> str:
    import torch

    values = _drawn(SIZE, SIZE)
    source = values.pin_memory() if device.type == "cuda" else values
    found = source.to(device, non_blocking=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # sync: the copy is compared
    return _difference(found.double().cpu(), values.double(), "float32")


def _memory(device: torch.device) -> Finding:
    import torch

    topic = "memory of the device"
    if device.type != "cuda":
        return Finding(topic=topic, found="the processor's own", why="")
    facts = torch.cuda.get_device_properties(device)
    size = f"{facts.total_memory / (1 << 30):.1f} GiB, compute capability {facts.major}.{facts.minor}"
    if facts.is_integrated:
        return Finding(topic=topic, found=f"unified, {size}", why="shared with the processor: budget both")
    return Finding(topic=topic, found=f"its own, {size}", why="readings are copied to it")


def _drawn(*shape: int) -> torch.Tensor:
    """The same numbers at each call, exact in each dtype: multiples of 1/8 from -1 to 1."""
    import torch

    generator = torch.Generator().manual_seed(len(shape))
    return torch.randint(-8, 9, shape, generator=generator).float() / 8


def _difference(found: torch.Tensor, expected: torch.Tensor, dtype: str) -> str:
    largest = float(expected.abs().max())
    worst = float((found - expected).abs().max())
    if worst <= TOLERANCES[dtype] * largest:
        return ""
    return f"off by {worst:.3g} of values up to {largest:.3g}: install the torch that this GPU needs"
