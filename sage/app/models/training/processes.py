"""Where a training process computes, and the others it trains with (torchrun).

Invariant: one process sets up nothing of torch.distributed; several leave it as they found it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from sage.app.terminal.errors import UserError
from sage.hrm_core.optim.ranks import SINGLE, Ranks


def chosen_device(name: str) -> torch.device:
    """ "auto": CUDA where there is one (torchrun's local rank), else the CPU. UserError for one that is not
    there.
    """
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()  # sync: a device that cannot compute or copy raises here
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:160].rstrip(".")
        raise UserError(f"--device {name}: {reason}: give cpu or auto") from None
    return device


@contextmanager
def joined_ranks(device_name: str) -> Iterator[tuple[Ranks, torch.device]]:
    """This process's place among those that torchrun started, and its device."""
    device = chosen_device(device_name)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE, device
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks.current(), device
    finally:
        dist.destroy_process_group()
