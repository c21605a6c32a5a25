"""Fan-out: one producer to several subscribers in processes of their own, over one or several topics.

Invariant: each subscriber receives every record of every topic in order, or the run fails; a rate is from the
first push until the last subscriber has the last record.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from _mailbox_ends import BLOCK, WAIT_SECS
from _mailbox_ours import CAPACITY
from harness import TextTable

from sage.mailbox import RealClock
from sage.mailbox.record import HEADER_BYTES, RECORD, RECORD_BYTES
from sage.mailbox.shared import SharedPeripheral

#: (subscribers, topics)
CASES = ((1, 1), (4, 1), (16, 1), (1, 4), (1, 16), (1, 64), (4, 16))
NUM_RECORDS = 64 * BLOCK * 16
_CONTEXT = multiprocessing.get_context("fork")  # subscribers inherit the compiled steps


def measure_fans(num_records: int = NUM_RECORDS) -> list[dict[str, float]]:
    """One row for each case, with the records a second that each subscriber received."""
    return [
        {
            "num_subscribers": num_subscribers,
            "num_topics": num_topics,
            "records_per_sec": fan_out(num_subscribers, num_topics, num_records),
        }
        for num_subscribers, num_topics in CASES
    ]


def fan_out(num_subscribers: int, num_topics: int, num_records: int) -> float:
    """Records a second; blocks of 64 records go to the topics in turn. num_records: a multiple of
    64 x num_topics. Raises ValueError if a subscriber failed.
    """
    names = [f"bench-{os.getpid()}-fan{index}" for index in range(num_topics)]
    rings = [
        SharedPeripheral.create(name, capacity=CAPACITY, mode="lossless", clock=RealClock()) for name in names
    ]
    pipes, processes = [], []
    try:
        for _ in range(num_subscribers):
            ours, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=_receive_all, args=(names, num_records, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _answer_of(pipe)  # it has subscribed
        started = time.perf_counter_ns()
        _push_all(rings, num_records)
        return num_records / (max(_answer_of(pipe) for pipe in pipes) - started) * 1e9
    finally:
        for ring in rings:
            ring.close()
            ring.unlink()
        for process in processes:
            process.join(WAIT_SECS)
            process.kill()


def fans_table(rows: list[dict[str, float]]) -> TextTable:
    shown = tuple(
        (
            f"{row['num_subscribers']}",
            f"{row['num_topics']}",
            f"{row['records_per_sec']:,.0f}",
            f"{row['records_per_sec'] * row['num_subscribers']:,.0f}",
        )
        for row in rows
    )
    columns = ("subscribers", "topics", "records/s to each", "records/s in all")
    return TextTable(title="Fan-out by 64, one producer, blocking", columns=columns, rows=shown)


def _push_all(rings: list[SharedPeripheral], num_records: int) -> None:
    block = np.zeros(BLOCK, RECORD)
    block["length"] = RECORD_BYTES - HEADER_BYTES
    for number in range(num_records // BLOCK):
        block["sequence"] = np.arange(number * BLOCK, (number + 1) * BLOCK)
        if rings[number % len(rings)].push_many(block, timeout_secs=WAIT_SECS) != BLOCK:
            raise ValueError(f"block {number}: a subscriber made no room within {WAIT_SECS:g} s")


def _receive_all(names: list[str], num_records: int, pipe: Connection) -> None:
    """A subscriber's process."""
    try:
        rings = [SharedPeripheral.attach(name, clock=RealClock()) for name in names]
        subscriptions = [ring.subscribe(start="oldest") for ring in rings]
        kept = np.zeros(BLOCK, RECORD)
        pipe.send((True, 0))
        for number in range(num_records // BLOCK):
            _receive_block(subscriptions[number % len(names)], number * BLOCK, kept)
        pipe.send((True, time.perf_counter_ns()))
    except Exception as error:
        pipe.send((False, repr(error)))


def _receive_block(subscription: Any, first: int, kept: np.ndarray) -> None:
    num_received = 0
    while num_received < BLOCK:
        batch = subscription.pop_many(BLOCK - num_received, timeout_secs=WAIT_SECS, out=kept)
        start = first + num_received
        if not len(batch) or (batch.records["sequence"] != np.arange(start, start + len(batch))).any():
            raise ValueError(f"{len(batch)} records came where number {start} was due")
        num_received += len(batch)


def _answer_of(pipe: Connection) -> int:
    if not pipe.poll(2 * WAIT_SECS):
        raise ValueError(f"a subscriber sent nothing for {2 * WAIT_SECS:g} s")
    is_done, value = pipe.recv()
    if not is_done:
        raise ValueError(f"a subscriber failed: {value}")
    return int(value)
