"""What the two stations of a pair do: one function for each side of each measurement.

Invariant: near keeps the time on CLOCK_MONOTONIC, which both processes share; a latency is half a round trip
between two Python programs, with everything that hands a message over and takes it in it, lease and view
included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from _mailbox_ends import BLOCK, NUM_RECORDS, Checker, RecordEnds, TensorEnds, record_table

now_ns = time.perf_counter_ns


def ping_records(ends: RecordEnds, num: int) -> list[float]:
    """Half of each round trip in us."""
    send, receive = ends.send, ends.receive
    prepared, laps = _prepare_singles(ends), []
    for record in islice(cycle(prepared), num):
        started = now_ns()
        send(record)
        receive()
        laps.append((now_ns() - started) / 2e3)
    return laps


def echo_records(ends: RecordEnds, num: int) -> None:
    send, receive = ends.send, ends.receive
    for record in islice(cycle(_prepare_singles(ends)), num):
        receive()
        send(record)


def stream_singles(ends: RecordEnds, num: int) -> int:
    """One record a call; the time of the first."""
    send, prepared = ends.send, _prepare_singles(ends)
    ping_records(ends, 1)  # far is awake, and runs
    started = now_ns()
    for record in islice(cycle(prepared), num):
        send(record)
    ends.receive()  # far has them all
    return started


def drain_singles(ends: RecordEnds, num: int) -> int:
    """One record a call; the time of the last."""
    receive = ends.receive
    echo_records(ends, 1)
    for _ in range(num):
        receive()
    ended = now_ns()
    ends.send(_prepare_singles(ends)[0])
    return ended


def stream_blocks(ends: RecordEnds, num: int) -> int:
    """`num` records by 64; the time of the first."""
    table = record_table()
    send_block = ends.send_block
    blocks = [ends.prepare_block(table[start : start + BLOCK]) for start in range(0, NUM_RECORDS, BLOCK)]
    ping_records(ends, 1)
    started = now_ns()
    for block in islice(cycle(blocks), num // BLOCK):
        send_block(block)
    ends.receive()
    return started


def drain_blocks(ends: RecordEnds, num: int) -> int:
    """Every byte of every record checked; the time of the last."""
    checker = Checker()
    take = partial(_check_block, ends.receive_block) if ends.check_block is None else ends.check_block
    total = num // BLOCK * BLOCK
    echo_records(ends, 1)
    while checker.num_received < total:
        take(checker)
    ended = now_ns()
    ends.send(_prepare_singles(ends)[0])
    return ended


def _check_block(receive_block: Any, checker: Checker) -> None:
    checker.check(receive_block())


def _prepare_singles(ends: RecordEnds) -> list[Any]:
    table = record_table()
    return [ends.prepare(table[index : index + 1]) for index in range(NUM_RECORDS)]


def ping_tensors(ends: TensorEnds, num: int, num_bytes: int, *, is_copied: bool) -> dict[str, list[float]]:
    """us. laps: half of each round trip.  calls: what handing over alone took.  copies: what numpy.copyto
    took.

    Calls and copies stand in turn behind the same wait for the other process: caches are as cold for the one
    as for the other. In a loop of its own copyto would take half as long. Values are checked each time.
    """
    source = np.zeros(num_bytes // 4, np.float32) if is_copied else None
    target = np.ones_like(source) if source is not None else None
    report: dict[str, list[float]] = {"laps": [], "calls": [], "copies": []}
    for nonce in range(1, num + 1):
        hand_over = _handing_over(ends, source, nonce)
        is_copy_timed = source is not None and target is not None and nonce % 2 == 0
        if is_copy_timed:
            started = now_ns()
            np.copyto(target, source)
            report["copies"].append((now_ns() - started) / 1e3)
        started = now_ns()
        hand_over()
        called = now_ns()
        answer = ends.take()
        ended = now_ns()
        _demand(answer, -nonce)
        report["laps"].append((ended - started) / 2e3)
        if not is_copy_timed:
            report["calls"].append((called - started) / 1e3)
    return report


def echo_tensors(ends: TensorEnds, num: int, num_bytes: int, *, is_copied: bool) -> None:
    source = np.zeros(num_bytes // 4, np.float32) if is_copied else None
    for nonce in range(1, num + 1):
        _demand(
            ends.take(), nonce
        )  # before the source changes: a queue's thread may still have been reading it
        _handing_over(ends, source, -nonce)()


def _handing_over(ends: TensorEnds, source: np.ndarray | None, nonce: float) -> Callable[[], object]:
    if source is None:
        assert ends.place is not None
        place = ends.place
        return lambda: place(nonce)
    assert ends.send is not None
    send = ends.send
    source[0] = source[-1] = nonce
    return lambda: send(source)


def _demand(answer: tuple[float, float], nonce: float) -> None:
    if answer != (nonce, nonce):
        raise ValueError(f"the tensor marked {nonce} was read as {answer}")
