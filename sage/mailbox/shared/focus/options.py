"""What the creator of a shared focus pool chooses, checked and turned into the numbers of its header.

Invariant: a wrong choice is refused before any memory is taken, naming the option, the value and the remedy.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np

from sage.errors import InputError
from sage.mailbox.local.slot_allocator import POLICIES, Policy
from sage.mailbox.record import RECORD_BYTES
from sage.mailbox.shared.focus import layout as layout
from sage.mailbox.shared.memory.segment import Layout

Receivers = Literal["one", "each"]


class Recorder(Protocol):
    """A peripheral mailbox of 256-byte records, in this process or between processes."""

    @property
    def record_bytes(self) -> int: ...

    def push(self, record: np.ndarray) -> Any: ...


def raise_unless_summaries(name: str, demoted: Recorder | None) -> None:
    if demoted is not None and demoted.record_bytes != RECORD_BYTES:
        raise InputError(
            f"{name}: demoted has records of {demoted.record_bytes} bytes: summaries need {RECORD_BYTES}"
        )


def focus_layout_for(
    name: str,
    *,
    slots: int,
    slot_bytes: int | None,
    pool_bytes: int | None,
    policy: Policy,
    quota: int | None,
    ttl_ns: int | None,
    debug: bool,
    receivers: Receivers,
) -> Layout:
    """InputError for what cannot be."""
    if not 1 <= slots <= layout.MAX_SLOTS:
        raise InputError(f"{name}: slots is {slots}: give 1 to {layout.MAX_SLOTS}")
    if policy not in POLICIES:
        raise InputError(f"{name}: policy is {policy!r}: give one of {', '.join(POLICIES)}")
    if quota is not None and not 1 <= quota <= slots:
        raise InputError(f"{name}: quota is {quota}: give 1 to {slots} (slots), or None")
    if ttl_ns is not None and ttl_ns <= 0:
        raise InputError(f"{name}: ttl_ns is {ttl_ns}: give a time above 0, or None")
    if receivers not in get_args(Receivers):
        raise InputError(f"{name}: receivers is {receivers!r}: give one or each")
    slot_bytes = _slot_bytes(name, slots, slot_bytes, pool_bytes)
    stride_bytes = -(-max(slot_bytes, 1) // layout.PAGE_BYTES) * layout.PAGE_BYTES
    options = {
        "slots": slots,
        "slot_bytes": slot_bytes,
        "stride_bytes": stride_bytes,
        "policy": POLICIES.index(policy),
        "quota": slots + 1 if quota is None else quota,  # without one, only the pool is a limit
        "ttl_ns": ttl_ns or 0,
        "debug": int(debug),
        "receivers": layout.RECEIVERS_NAMES.index(receivers),
    }
    assert tuple(options) == layout.OPTION_NAMES
    return Layout(kind=layout.KIND, num_bytes=layout.CONTROL_BYTES + slots * stride_bytes, options=options)


def _slot_bytes(name: str, num_slots: int, slot_bytes: int | None, pool_bytes: int | None) -> int:
    if slot_bytes is None:
        if pool_bytes is None or pool_bytes < num_slots:
            raise InputError(
                f"{name}: give slot_bytes, or a pool_bytes of at least one byte for each of {num_slots} slots"
            )
        return pool_bytes // num_slots
    if slot_bytes < 0:
        raise InputError(f"{name}: slot_bytes is {slot_bytes}: give 0 or more")
    if pool_bytes is not None and num_slots * slot_bytes > pool_bytes:
        raise InputError(
            f"{name}: {num_slots} slots of {slot_bytes} bytes do not fit pool_bytes {pool_bytes}"
        )
    return slot_bytes
