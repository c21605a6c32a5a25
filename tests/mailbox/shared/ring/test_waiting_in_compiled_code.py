"""Waits on a ring, with each engine: other threads run, signals and closing end it, and no writer that died
can prevent it.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sage.mailbox import MailboxClosed, RealClock
from sage.mailbox.shared import SharedPeripheral
from sage.mailbox.shared.ring.layout import TAIL

_numbers = itertools.count()
WAITS = pytest.mark.parametrize("spin_secs", [0.0, 60.0])


@pytest.fixture(params=["plain", None])
def create(request: pytest.FixtureRequest) -> Iterator[Callable[..., SharedPeripheral]]:
    rings: list[SharedPeripheral] = []

    def make() -> SharedPeripheral:
        name = f"test.{os.getpid()}.w{next(_numbers)}"
        rings.append(SharedPeripheral.create(name, clock=RealClock(), capacity=64, engine=request.param))
        return rings[-1]

    yield make
    for ring in rings:
        ring.close()
        ring.unlink()


@WAITS
def test_other_threads_run_during_the_wait_and_one_of_them_can_push(
    create: Callable[..., SharedPeripheral], spin_secs: float
) -> None:
    ring = create()
    reader = ring.subscribe()
    thread = threading.Timer(0.05, ring.push, [np.zeros(1, ring.dtype)])
    thread.start()
    assert len(reader.pop_many(1, timeout_secs=60.0, spin_secs=spin_secs)) == 1
    thread.join()


@WAITS
def test_a_signal_handler_ends_the_wait(create: Callable[..., SharedPeripheral], spin_secs: float) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    def wait() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        reader.pop_many(1, timeout_secs=60.0, spin_secs=spin_secs)

    reader = create().subscribe()
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


@WAITS
@pytest.mark.parametrize("closed", ["subscription", "ring"])
def test_closing_in_another_thread_ends_the_wait(
    create: Callable[..., SharedPeripheral], spin_secs: float, closed: str
) -> None:
    ring = create()
    reader = ring.subscribe()
    thread = threading.Timer(0.05, (reader if closed == "subscription" else ring).close)
    thread.start()
    with pytest.raises(MailboxClosed):
        reader.pop_many(1, timeout_secs=60.0, spin_secs=spin_secs)
    thread.join()


@WAITS
def test_a_record_whose_writer_died_before_it_moved_the_tail_is_found(
    create: Callable[..., SharedPeripheral], spin_secs: float
) -> None:
    ring = create()
    reader = ring.subscribe()
    tail = ring._segment.words[TAIL // 8]
    ring.push(np.zeros(1, ring.dtype))
    ring._segment.words[TAIL // 8] = tail  # as if the writer had died between the two swaps of a push
    batch = reader.pop_many(1, timeout_secs=60.0, spin_secs=spin_secs)
    assert (len(batch), batch.lost) == (1, 0)
    assert len(reader.pop_many(1)) == 0


@WAITS
def test_a_wait_ends_at_its_deadline_although_nobody_writes(
    create: Callable[..., SharedPeripheral], spin_secs: float
) -> None:
    batch = create().subscribe().pop_many(1, timeout_secs=0.03, spin_secs=spin_secs)
    assert (len(batch), batch.lost, batch.first_ticket) == (0, 0, 0)
