"""Rows for the journal's benchmark, and a process that writes them until it is killed. Imports no torch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sage.memory.stores.journal import Journal
from sage.memory.stores.journal_file import read_journal
from sage.memory.stores.journal_row import JournalRow

KEY_DIM, VALUE_DIM = 256, 16
EPOCH_NS = 1_800_000_000 * 10**9


def make_row(number: int, slot: int) -> JournalRow:
    key = np.full(KEY_DIM, 1.0 / np.sqrt(KEY_DIM), np.float32)
    return JournalRow(
        store="recall", slot=slot, id=number, first_id=number, episode=number // 100,
        first_episode=number // 100, context=number % 3, epoch_ns=EPOCH_NS, time_ns=number * 50_000_000,
        salience=0.5, trust=0.5, scalars={"num_queries": number},
        arrays={
            "contexts": np.int64(number % 3), "keys": key,
            "reads": np.full(VALUE_DIM + 1, number, np.float32),
            "salience": np.float32(0.5), "hits": np.int64(0), "num_merged": np.int64(1),
            "times_ns": np.int64(number * 50_000_000), "ids": np.int64(number), "first_ids": np.int64(number),
            "episodes": np.int64(number // 100), "first_episodes": np.int64(number // 100),
            "first_times_ns": np.int64(number * 50_000_000),
        },
    )  # fmt: skip


def write_until_killed(path: Path) -> None:
    """Print the acknowledged sequence after every fifth row."""
    journal = Journal(path, start_after=read_journal(path).newest_sequence)
    while True:
        number = journal.last_sequence + 1
        journal.append(make_row(number, number % 1000))
        if number % 5 == 0:
            journal.wait(number - 3, 60)
            print(journal.acknowledged, flush=True)
        if number % 200 == 0:
            journal.prune(number - 150)


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
