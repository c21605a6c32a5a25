"""The conformance suite of the mailboxes: every test that takes `backend` runs on each of them.

Invariant: a backend is listed here once; adding one adds no test.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.compiled import has_compiler
from sage.mailbox import (
    Backend,
    FocusMailbox,
    HostBackend,
    Lease,
    ManualClock,
    PeripheralMailbox,
    record_dtype,
)
from sage.mailbox.cuda import CudaBackend, FakeDriver, UnifiedBackend, why_no_cuda
from sage.mailbox.shared import SharedFocus, SharedPeripheral
from sage.mailbox.shared.memory.engine_choice import why_plain

BACKENDS: dict[str, Callable[[], Backend]] = {
    "host": HostBackend,
    "cuda-fake": lambda: CudaBackend(driver=FakeDriver()),
}
if (
    why_no_cuda() is None
):  # pinned: the suite reads arrays on the host; device memory has its own in tests/mailbox/cuda
    BACKENDS["cuda"] = lambda: CudaBackend(placement="pinned")
KIND = 2
_numbers = itertools.count()


def _in_process(backend: Callable[[], Backend]) -> Callable[..., PeripheralMailbox]:
    return lambda **options: PeripheralMailbox("ring", backend=backend(), **options)


def _shared(engine: str) -> Callable[..., SharedPeripheral]:
    return lambda **options: SharedPeripheral.create(
        f"test.{os.getpid()}.{next(_numbers)}", engine=engine, **options
    )


RINGS: dict[str, Callable[..., Any]] = {name: _in_process(backend) for name, backend in BACKENDS.items()}
RINGS["shared-plain"] = _shared("plain")
if not why_plain():
    RINGS["shared"] = _shared("numba")


def _focus_in_process(backend: Callable[[], Backend]) -> Callable[..., FocusMailbox]:
    return lambda **options: FocusMailbox("focus", **{"backend": backend(), **options})


def _shared_focus(engine: str, backend: Callable[[], Any] = lambda: None) -> Callable[..., SharedFocus]:
    return lambda **options: SharedFocus.create(
        f"test.{os.getpid()}.{next(_numbers)}", engine=engine, backend=backend(), **options
    )


FOCUSES: dict[str, Callable[..., Any]] = {
    name: _focus_in_process(backend) for name, backend in BACKENDS.items()
}
FOCUSES["shared-plain"] = _shared_focus("plain")
FOCUSES["unified-fake"] = _shared_focus(
    "plain", lambda: UnifiedBackend(driver=FakeDriver(is_integrated=True))
)
if has_compiler():
    FOCUSES["shared"] = _shared_focus("numba")


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000)


@pytest.fixture(params=sorted(RINGS))
def make_ring(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Callable[..., Any]]:
    rings: list[Any] = []

    def make(**options: Any) -> Any:
        rings.append(RINGS[request.param](clock=clock, **{"capacity": 8, **options}))
        return rings[-1]

    yield make
    for ring in rings:
        ring.close()
        if isinstance(ring, SharedPeripheral):
            ring.unlink()


@pytest.fixture(params=sorted(FOCUSES))
def make_focus(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Callable[..., Any]]:
    boxes: list[Any] = []

    def make(**options: Any) -> Any:
        boxes.append(FOCUSES[request.param](**{"clock": clock, "slot_bytes": 4096, **options}))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()
        if isinstance(box, SharedFocus):
            box.unlink()


@pytest.fixture
def records() -> Callable[..., np.ndarray]:
    """records(first, num): each payload byte follows from the record's number, so that a torn one shows."""

    def make(first: int, num: int, *, producer: int = 0, record_bytes: int = 256) -> np.ndarray:
        batch = np.zeros(num, dtype=record_dtype(record_bytes))
        numbers = np.arange(first, first + num)
        batch["sequence"], batch["producer"], batch["kind"] = numbers, producer, KIND
        batch["length"] = record_bytes - 64
        batch["payload"] = (numbers[:, None] * 7 + producer * 31 + np.arange(record_bytes - 64)) % 251
        return batch

    return make


@pytest.fixture
def publish() -> Callable[..., bool]:
    """publish(box, value): a (4,) float32 of `value` with that sequence and stamp; False when there was no
    loan.
    """

    def put(box: FocusMailbox, value: int, *, producer: int = 0, trust: float = 1.0, **options: Any) -> bool:
        loan = box.try_loan((4,), producer=producer, trust=trust)
        if loan is None:
            return False
        loan.array[:] = value
        return loan.publish(**{"stamp_ns": value, "sequence": value, "trust": trust, **options})

    return put


@pytest.fixture
def take() -> Callable[..., list[int]]:
    """take(box): the sequences of everything that can be received now."""

    def drain(box: FocusMailbox, limit: int = 1_000) -> list[int]:
        sequences: list[int] = []
        while len(sequences) < limit and (lease := box.try_receive()) is not None:
            with lease:
                sequences.append(_checked(lease))
        return sequences

    def _checked(lease: Lease) -> int:
        assert (lease.array == lease.meta.sequence).all()
        return lease.meta.sequence

    return drain
