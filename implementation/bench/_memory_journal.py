"""The journal: acknowledgements, bytes, and what a restart reads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import _memory_rows
import numpy as np
import psutil
from _memory_rows import EPOCH_NS, KEY_DIM, VALUE_DIM, make_row

from sage.memory.stores.hmemory import HMemory
from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import JournalRow, encode
from sage.memory.stores.recall import RecallStore
from sage.memory.stores.recovery import apply_rows
from sage.memory.stores.snapshot import load_memory, save_states
from sage.memory.windows.window import WindowShape

WAIT_SECS = 60.0
GROUP = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Median microseconds until a record is on the disk, alone and in groups of 64; None: not installed."""

    method: str
    single_us: float | None
    grouped_us: float | None


def acknowledgements(folder: Path, num_single: int, num_groups: int) -> list[Acknowledged]:
    """The journal, LMDB with sync, and the disk alone: a write of the same bytes and fsync."""
    rows = [make_row(number, number) for number in range(GROUP)]
    data = encode(1, rows[0])
    return [
        _journal(folder, rows, num_single, num_groups),
        _lmdb(folder, data, num_single, num_groups),
        _file(folder, data, num_single, num_groups),
    ]


def _journal(folder: Path, rows: list[JournalRow], num_single: int, num_groups: int) -> Acknowledged:
    journal = Journal(folder / "acknowledged.sqlite")
    single = _median_us(lambda: journal.wait(journal.append(rows[0]), WAIT_SECS), num_single)

    grouped = _median_us(lambda: journal.wait(journal.append_group(rows), WAIT_SECS), num_groups) / GROUP
    journal.close()
    return Acknowledged(method="sage journal", single_us=single, grouped_us=grouped)


def _lmdb(folder: Path, data: bytes, num_single: int, num_groups: int) -> Acknowledged:
    try:
        import lmdb
    except ImportError:
        return Acknowledged(method="LMDB (not installed)", single_us=None, grouped_us=None)
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 30) as environment:
        number = 0

        def put(count: int) -> None:
            nonlocal number
            with environment.begin(write=True) as transaction:
                for _ in range(count):
                    number += 1
                    transaction.put(number.to_bytes(8, "big"), data)

        single = _median_us(lambda: put(1), num_single)
        grouped = _median_us(lambda: put(GROUP), num_groups) / GROUP
    return Acknowledged(method="LMDB, sync", single_us=single, grouped_us=grouped)


def _file(folder: Path, data: bytes, num_single: int, num_groups: int) -> Acknowledged:
    with (folder / "plain").open("ab", buffering=0) as file:

        def write(content: bytes) -> None:
            file.write(content)
            os.fsync(file.fileno())

        single = _median_us(lambda: write(data), num_single)
        grouped = _median_us(lambda: write(data * GROUP), num_groups) / GROUP
    return Acknowledged(method="the disk alone: write, fsync", single_us=single, grouped_us=grouped)


def _median_us(work: object, num: int) -> float:
    assert callable(work)
    work()
    times = []
    for _ in range(num):
        started = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - started)
    return float(np.median(times)) * 1e-3


def append_cpu_us(folder: Path, num: int = 2000) -> float:
    """Median time on the caller's thread of one append: what the loop pays."""
    journal = Journal(folder / "append.sqlite")
    row = make_row(1, 1)
    times = []
    for _ in range(num):
        started = time.thread_time_ns()
        journal.append(row)
        times.append(time.thread_time_ns() - started)
    journal.close()
    return float(np.median(times)) * 1e-3


def back_secs(folder: Path, num: int) -> dict[str, float]:
    """Seconds until `num` memories are in a store again: from the journal, and from a snapshot."""
    path = folder / "back.sqlite"
    journal = Journal(path, max_queued_bytes=1 << 30)
    for number in range(num):
        journal.append(make_row(number + 1, number))
    journal.wait(num, 600)
    journal.close()
    memory = _memory(num)
    wall, cpu = time.perf_counter(), time.process_time()
    contents = read_journal(path)
    apply_rows(memory, contents.rows, epoch_ns=EPOCH_NS + num * 50_000_000)
    found = {"journal_wall": time.perf_counter() - wall, "journal_cpu": time.process_time() - cpu}
    assert len(memory.recall_store) == num
    save_states(folder / "back.safetensors", {"recall": memory.recall_store.state()})
    again = RecallStore(num, KEY_DIM, VALUE_DIM)
    wall, cpu = time.perf_counter(), time.process_time()
    load_memory(folder / "back.safetensors", {"recall": again})
    found |= {"snapshot_wall": time.perf_counter() - wall, "snapshot_cpu": time.process_time() - cpu}
    assert len(again) == num
    return found


def _memory(num: int) -> HMemory:
    shape = WindowShape(num_channels=1, num_sources=1, num_actions=0, carry_shape=(1, 1), length=1)
    store = RecallStore(num, KEY_DIM, VALUE_DIM, may_index=False)
    return HMemory.build(shape, store, num_experiences=8, examined_fraction=0.1, block_secs=5.0, seed=0)


def bytes_over_writes(folder: Path, num: int) -> dict[str, float]:
    """Growth of resident and disk bytes from a fifth of `num` writes to all, pruned as a run prunes."""
    path = folder / "many.sqlite"
    journal = Journal(path)
    row, process = make_row(1, 1), psutil.Process()
    sizes: list[tuple[int, int]] = []
    written, block, previous = 0, max(num // 50, 1), 0
    while written < num:
        for _ in range(block):
            last = journal.append(row)
            while last == 0:
                journal.wait(journal.last_sequence, WAIT_SECS)
                last = journal.append(row)
        journal.wait(last, WAIT_SECS)
        journal.prune(previous)
        previous, written = last, written + block
        sizes.append((process.memory_info().rss, _disk_bytes(path)))
    journal.close()
    settled, end = sizes[len(sizes) // 5], sizes[-1]
    largest_early = max(disk for _, disk in sizes[: len(sizes) // 5 + 1])
    return {
        "num_writes": float(written),
        "resident_growth_mb": (end[0] - settled[0]) / 1e6,
        "disk_growth_mb": (max(disk for _, disk in sizes) - largest_early) / 1e6,
        "disk_mb": end[1] / 1e6,
    }


def _disk_bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.iterdir() if each.name.startswith(path.name))


def kills(folder: Path, num: int) -> dict[str, int]:
    """kill -9 of a writing process, `num` times: acknowledged rows that are lost, rows that are not whole."""
    generator = np.random.default_rng(num)
    path, acknowledged, lost, torn = folder / "killed.sqlite", 0, 0, 0
    for _ in range(num):
        command = [sys.executable, _memory_rows.__file__, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(int(generator.integers(1, 40))):
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max(acknowledged, *(int(line) for line in process.communicate()[0].split()), 0)
        rows = read_journal(path).rows
        there = {row.sequence for row in rows}
        lost += len(set(range(max(acknowledged - 149, 1), acknowledged + 1)) - there)
        torn += sum(row.id != row.sequence for row in rows)
    return {"num_kills": num, "num_lost": lost, "num_torn": torn}
