"""Where a training process computes, and the others it trains with (torchrun).

Invariant: one process sets up nothing of torch.distributed; several leave it as they found it.
"""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from sage.app.terminal.errors import UserError
from sage.hrm_core.optim.ranks import SINGLE, Ranks
from sage.mailbox.shared.memory.identity import identity_of

#: The id of a torchrun without --rdzv-id.
_NO_ID = "none"
#: Between two looks for the other processes.
_POLL_SECS = 0.02
#: Rank 0 waits no longer for them: torch's own limit.
_MAX_WAIT_SECS = 300.0


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
    backend = "nccl" if device.type == "cuda" else "gloo"
    store, rank, count = next(rendezvous("env://"))
    store = fresh_store(store, rank, count)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Ranks.current(), device
    finally:
        dist.destroy_process_group()


def fresh_store(store: Store, rank: int, count: int) -> Store:
    """The store without the addresses of processes that have ended: torchrun keeps one over its restarts, and
    gloo would connect to them. All ranks call it together.

    Rank 0 draws a prefix for this start. A request of an earlier start is never taken for one of this start:
    each rank asks with a nonce, rank 0 answers under it, and ends when each has confirmed the prefix.
    """
    store = PrefixStore("sage", store)
    if rank > 0:
        nonce = uuid.uuid4().hex
        store.set(f"nonce/{rank}", nonce)
        name = store.get(f"name/{nonce}").decode()  # waits for it
        store.set(f"{name}/{rank}", "joined")
        return PrefixStore(name, store)
    name = uuid.uuid4().hex
    missing = set(range(1, count))
    deadline = time.monotonic() + _MAX_WAIT_SECS
    while missing:
        for each in missing:
            if store.check([f"nonce/{each}"]):
                store.set(f"name/{store.get(f'nonce/{each}').decode()}", name)
        missing = {each for each in missing if not store.check([f"{name}/{each}"])}
        if time.monotonic() > deadline:
            raise UserError(
                f"torchrun: processes {sorted(missing)} of {count}: no answer for {_MAX_WAIT_SECS:g} s: see"
                " their lines, and start again"
            )
        time.sleep(_POLL_SECS)
    return PrefixStore(name, store)


def launch_name() -> str | None:
    """Of the torchrun that started this process: the same when it starts its processes again. None without
    torchrun.

    It is the id of --rdzv-id, which machines share; without one, of this machine's torchrun process.
    """
    run_id = os.environ.get("TORCHELASTIC_RUN_ID")
    if run_id is None or run_id != _NO_ID:
        return run_id
    parent = os.getppid()
    return f"{platform.node()}:{identity_of(parent) or parent}"
