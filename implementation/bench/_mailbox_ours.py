"""sage.mailbox.shared as a peer: a ring and a pool each way, waiting by spinning or on a futex.

Invariant: used as a program would use it, with nothing prepared that a program could not prepare.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
from _mailbox_ends import BLOCK, MAX_BATCH, RECORD_BYTES, WAIT_SECS, Checker, RecordEnds, Role, TensorEnds

from sage.mailbox import MailboxClosed, RealClock

CAPACITY, NUM_SLOTS = 1024, 4
BLOCKS_CAPACITY = 64 * BLOCK  # the bytes of the 64 messages that iceoryx2 queues
IDLE_WAIT_SECS = 0.25


@dataclass(frozen=True, slots=True)
class OurPeer:
    """num_idle: so many more topics each way, each with a thread of its own that waits on it in vain."""

    waiting: Literal["spin", "block"]
    num_idle: int = 0
    package: str = "sage"

    @property
    def name(self) -> str:
        return f"sage {self.waiting}" + (f", {self.num_idle} idle topics" if self.num_idle else "")

    def wire(self, context: Any) -> Any:
        return f"bench-{os.getpid()}-{self.waiting}-{self.num_idle}"

    def records(self, role: Role, wiring: Any, stack: ExitStack) -> RecordEnds:
        way_out, way_in = _rings(role, f"{wiring}-records", stack, CAPACITY)
        send_block, check_block = self._blocks(role, wiring, stack)
        subscription = way_in.subscribe(start="oldest")
        for index in range(self.num_idle):
            _, idle = _rings(role, f"{wiring}-idle{index}", stack, CAPACITY)
            _wait_in_vain(idle.subscribe(start="oldest"), stack)
        pop_many, spin_secs = subscription.pop_many, self._spin_secs()

        def send(record: bytes | np.ndarray) -> None:
            if not way_out.push(record, timeout_secs=WAIT_SECS):
                raise TimeoutError("nobody made room in the ring")

        def receive() -> np.ndarray:
            records: np.ndarray = pop_many(1, timeout_secs=WAIT_SECS, spin_secs=spin_secs).records
            if not len(records):
                raise TimeoutError("no record came")
            return records

        return RecordEnds(
            send=send,
            receive=receive,
            send_block=send_block,
            check_block=check_block,
            prepare_block=lambda records: records,
            has_bulk=True,
        )

    def _blocks(
        self, role: Role, wiring: Any, stack: ExitStack
    ) -> tuple[Callable[[np.ndarray], None], Callable[[Checker], None]]:
        way_out, way_in = _rings(role, f"{wiring}-blocks", stack, BLOCKS_CAPACITY)
        pop_many, spin_secs = way_in.subscribe(start="oldest").pop_many, self._spin_secs()
        kept = np.zeros(MAX_BATCH, way_in.dtype)
        generations, address = kept["generation"], kept.ctypes.data

        def send_block(records: np.ndarray) -> None:
            if way_out.push_many(records, timeout_secs=WAIT_SECS) != BLOCK:
                raise TimeoutError("nobody made room in the ring")

        def check_block(checker: Checker) -> None:
            num = len(pop_many(MAX_BATCH, timeout_secs=WAIT_SECS, spin_secs=spin_secs, out=kept))
            generations[:num] = 0  # the ring's own lap, no part of what was sent
            checker.check_at(address, num * RECORD_BYTES)

        return send_block, check_block

    def tensors(self, role: Role, wiring: Any, num_bytes: int, stack: ExitStack) -> TensorEnds:
        way_out, way_in = _pools(role, f"{wiring}-{num_bytes}", num_bytes, stack)
        shape, spin_secs = (num_bytes // 4,), self._spin_secs()
        now_ns, sequences = time.monotonic_ns, count()

        def place(nonce: float) -> None:
            loan = way_out.loan(shape, "float32", timeout_secs=WAIT_SECS)
            _mark(loan.array, nonce)
            loan.publish(stamp_ns=now_ns(), sequence=next(sequences))

        def send(array: np.ndarray) -> None:
            loan = way_out.loan(shape, "float32", timeout_secs=WAIT_SECS)
            np.copyto(loan.array, array)
            loan.publish(stamp_ns=now_ns(), sequence=next(sequences))

        def take() -> tuple[float, float]:
            with way_in.receive(timeout_secs=WAIT_SECS, spin_secs=spin_secs) as lease:
                return _first_and_last(lease.array)

        return TensorEnds(place=place, send=send, take=take)

    def _spin_secs(self) -> float:
        return WAIT_SECS if self.waiting == "spin" else 0.0


def _mark(values: np.ndarray, nonce: float) -> None:
    """In a function of its own, as a program's work on a tensor is: no view outlives it and keeps the
    slot.
    """
    values[0] = values[-1] = nonce


def _first_and_last(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _rings(role: Role, name: str, stack: ExitStack, capacity: int) -> tuple[Any, Any]:
    from sage.mailbox.shared import SharedPeripheral

    def create(way: str) -> Any:
        return SharedPeripheral.create(f"{name}-{way}", capacity=capacity, mode="lossless", clock=RealClock())

    return _both_ways(
        role, create, lambda way: SharedPeripheral.attach(f"{name}-{way}", clock=RealClock()), stack
    )


def _pools(role: Role, name: str, num_bytes: int, stack: ExitStack) -> tuple[Any, Any]:
    from sage.mailbox.shared import SharedFocus

    def create(way: str) -> Any:
        return SharedFocus.create(
            f"{name}-{way}", slots=NUM_SLOTS, slot_bytes=num_bytes, policy="block", clock=RealClock()
        )

    return _both_ways(role, create, lambda way: SharedFocus.attach(f"{name}-{way}", clock=RealClock()), stack)


def _both_ways(
    role: Role, create: Callable[[str], Any], attach: Callable[[str], Any], stack: ExitStack
) -> tuple[Any, Any]:
    """(way out, way in): near creates both and unlinks them, far attaches."""
    there, back = (
        (create if role == "near" else attach)("there"),
        (create if role == "near" else attach)("back"),
    )
    for each in (there, back):
        if role == "near":
            stack.callback(each.unlink)
        stack.callback(each.close)
    return (there, back) if role == "near" else (back, there)


def _wait_in_vain(subscription: Any, stack: ExitStack) -> None:
    is_over = threading.Event()

    def wait() -> None:
        with suppress(MailboxClosed):  # the other station has ended first
            while not is_over.is_set():
                subscription.pop_many(1, timeout_secs=IDLE_WAIT_SECS)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(is_over.set)
