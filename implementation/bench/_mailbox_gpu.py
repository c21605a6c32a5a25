"""What is measured of the CUDA mailboxes, each a function of a card. All times are medians of many, warm.

Invariant: every record popped while timing is checked afterwards, and nothing is timed that was not queued by
our own calls.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _mailbox_fork import ForkMailbox

from sage.mailbox import FocusMailbox, RealClock
from sage.mailbox.cuda import CudaBackend
from sage.mailbox.cuda.conformance import make_records
from sage.mailbox.cuda.launch import CupyLauncher
from sage.mailbox.cuda.ring import DeviceRing, RingProducer, RingReader

NUM_RECORDS = 4096


@dataclass(frozen=True)
class Card:
    """cupy's module, our backend, one launcher: compiled once."""

    cupy: Any
    backend: CudaBackend
    launcher: CupyLauncher


@dataclass(frozen=True)
class Line:
    """A ring of 2 x NUM_RECORDS with one producer, one reader, and NUM_RECORDS records to push."""

    ring: DeviceRing
    producer: RingProducer
    reader: RingReader
    records: Any

    def push(self, stream: int) -> None:
        self.producer.push_many(self.records.data.ptr, NUM_RECORDS, stream=stream)


def make_line(card: Card) -> Line:
    ring = DeviceRing(driver=card.backend.driver, launcher=card.launcher, capacity=2 * NUM_RECORDS)
    records = card.cupy.asarray(make_records(0, NUM_RECORDS).view(np.uint8).reshape(NUM_RECORDS, -1))
    line = Line(ring, ring.producer(), ring.subscribe(max_records=NUM_RECORDS, start="oldest"), records)
    card.cupy.cuda.Device().synchronize()
    return line


def pop_device_us(card: Card, num_rounds: int) -> float:
    """The pop kernel's own time between two events, with the stream kept busy so that no launch is waited
    for.
    """
    line, stream = make_line(card), card.cupy.cuda.Stream(non_blocking=True)
    starts, ends = ([card.cupy.cuda.Event() for _ in range(num_rounds)] for _ in range(2))
    for _ in range(3):
        line.push(stream.ptr)
        line.reader.pop_many(stream=stream.ptr)
    ballast = card.cupy.empty(1 << 28, dtype=card.cupy.uint8)
    with stream:
        for _ in range(4 * num_rounds // 10):  # about 0.1 ms each
            ballast.fill(1)
    for start, end in zip(starts, ends):
        line.push(stream.ptr)
        start.record(stream)
        line.reader.pop_many(stream=stream.ptr)
        end.record(stream)
    stream.synchronize()
    _check(line, stream)
    return statistics.median(
        card.cupy.cuda.get_elapsed_time(start, end) * 1e3 for start, end in zip(starts, ends)
    )


def pop_host_us(card: Card, num_rounds: int) -> dict[str, float]:
    """call_us: queueing a pop.  done_us: until the host sees it done.  take_us: until the records are on the
    host.
    """
    line, stream = make_line(card), card.cupy.cuda.Stream(non_blocking=True)
    calls, dones, takes = [], [], []
    for _ in range(num_rounds):
        line.push(stream.ptr)
        stream.synchronize()
        started = time.perf_counter()
        line.reader.pop_many(stream=stream.ptr)
        called = time.perf_counter()
        stream.synchronize()
        dones.append(time.perf_counter() - started)
        calls.append(called - started)
        line.push(stream.ptr)
        stream.synchronize()
        started = time.perf_counter()
        batch = line.reader.take(stream=stream.ptr)
        takes.append(time.perf_counter() - started)
        assert len(batch) == NUM_RECORDS
    return {"call_us": _us(calls), "done_us": _us(dones), "take_us": _us(takes)}


def graph_records_per_sec(card: Card, num_replays: int) -> float:
    """Push and pop of NUM_RECORDS captured once and replayed: pairs a second, times NUM_RECORDS; the last is
    checked.
    """
    line, stream = make_line(card), card.cupy.cuda.Stream(non_blocking=True)
    line.push(stream.ptr)
    line.reader.pop_many(stream=stream.ptr)
    stream.synchronize()
    with stream:
        stream.begin_capture()
        line.push(stream.ptr)
        line.reader.pop_many(stream=stream.ptr)
        graph = stream.end_capture()
    graph.launch(stream)
    stream.synchronize()
    started = time.perf_counter()
    for _ in range(num_replays):
        graph.launch(stream)
    stream.synchronize()
    elapsed_secs = time.perf_counter() - started
    batch = line.reader.take(stream=stream.ptr)
    assert (len(batch), batch.lost, batch.first_ticket) == (0, 0, (num_replays + 2) * NUM_RECORDS), (
        "a replay lost records"
    )
    return num_replays * NUM_RECORDS / elapsed_secs


def hand_over_us(card: Card, num_rounds: int, surface: str) -> dict[str, float]:
    """Host time of a focus message from one stream to another, with nothing queued but the mailbox's own
    events.
    """
    box = FocusMailbox("bench", clock=RealClock(), slots=4, slot_bytes=1 << 20, backend=card.backend)
    on, streams = _streams(card, surface)
    hands, wholes = [], []
    for number in range(num_rounds):
        with on(streams[0]):
            started = time.perf_counter()
            loan = box.loan((1 << 18,))
            view = getattr(loan, surface)
            del view
            written = time.perf_counter()
            loan.publish(stamp_ns=number, sequence=number)
            published = time.perf_counter()
        with on(streams[1]):
            asked = time.perf_counter()
            with box.receive(timeout_secs=1.0) as lease:
                view = getattr(lease, surface)
                del view
            ended = time.perf_counter()
        hands.append(published - written + ended - asked)
        wholes.append(published - started + ended - asked)
    found = box.statistics()
    assert found.bytes_copied == 0
    box.close()
    return {"hand_over_us": _us(hands), "with_loan_us": _us(wholes)}


def fork_pop_us(card: Card, num_rounds: int) -> float:
    """The fork's pop of one record, until it is on the host."""
    box = ForkMailbox(card.cupy, 2 * NUM_RECORDS)
    record = card.cupy.asarray(make_records(0, 1).view(np.uint8))
    pops = []
    for _ in range(num_rounds):
        box.push(record)
        card.cupy.cuda.Device().synchronize()
        started = time.perf_counter()
        got = box.pop()
        pops.append(time.perf_counter() - started)
        assert got is not None
    return _us(pops)


def _streams(card: Card, surface: str) -> tuple[Callable[[Any], Any], list[Any]]:
    if surface == "tensor":
        import torch

        return torch.cuda.stream, [torch.cuda.Stream() for _ in range(2)]
    return (lambda stream: stream), [card.cupy.cuda.Stream(non_blocking=True) for _ in range(2)]


def _check(line: Line, stream: Any) -> None:
    """Records of the last pop, byte by byte; the lap is the ring's own."""
    line.push(stream.ptr)
    got, sent = line.reader.take(stream=stream.ptr).records, make_records(0, NUM_RECORDS)
    assert all(
        np.array_equal(got[name], sent[name]) for name in sent.dtype.names or () if name != "generation"
    )


def _us(seconds: list[float]) -> float:
    return statistics.median(seconds[len(seconds) // 10 :]) * 1e6
