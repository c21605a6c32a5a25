"""Options that every implementation of a mailbox takes, with one check for each.

Invariant: a wrong option raises InputError with the option, its value and the remedy before any memory is
allocated.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from sage.errors import InputError

Mode = Literal["lossy", "lossless"]
Policy = Literal["drop_oldest", "drop_newest", "block", "error", "drop_least_trusted"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
#: Where a subscription begins: a ticket, or one of two names.
Start: TypeAlias = Literal["latest", "oldest"] | int
#: A message with trust 0 is delivered once in this many rounds of the queue.
ROUNDS_WITHOUT_TRUST = 16


def check_mode(name: str, mode: str) -> None:
    if mode not in get_args(Mode):
        raise InputError(f'{name}: mode is {mode!r}: give "lossy" or "lossless"')


def check_pool(name: str, *, slots: int, policy: str, quota: int | None, ttl_ns: int | None) -> None:
    if slots < 1:
        raise InputError(f"{name}: slots is {slots}: give 1 or more")
    if policy not in POLICIES:
        raise InputError(f"{name}: policy is {policy!r}: give one of {', '.join(POLICIES)}")
    if quota is not None and not 1 <= quota <= slots:
        raise InputError(f"{name}: quota is {quota}: give 1 to {slots} (slots), or None")
    if ttl_ns is not None and ttl_ns <= 0:
        raise InputError(f"{name}: ttl_ns is {ttl_ns}: give a time above 0, or None")


def check_record_bytes(name: str, found: int, needed: int) -> None:
    """Of the mailbox that receives summaries of dropped messages."""
    if found != needed:
        raise InputError(f"{name}: demoted has records of {found} bytes: summaries need {needed}")


def check_weights(name: str, trust: float, quality: float) -> None:
    if not (0.0 <= trust <= 1.0 and 0.0 <= quality <= 1.0):
        raise InputError(f"{name}: trust is {trust}, quality is {quality}: give numbers from 0 to 1")


def bytes_per_slot(name: str, num_slots: int, slot_bytes: int | None, pool_bytes: int | None) -> int:
    """slot_bytes, or an equal share of pool_bytes; with both given, pool_bytes is a limit."""
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
