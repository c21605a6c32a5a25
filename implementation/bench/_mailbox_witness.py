"""Records whose every byte is a function of (producer, sequence), and a consumer that checks all it is given.

Invariant: for each witness, records delivered and records reported lost add up to all that were
pushed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from _mailbox_crowd import Board, Wrong

from sage.mailbox.record import HEADER_BYTES, RECORD

_WORDS = (RECORD.itemsize - HEADER_BYTES) // 8
_COLUMNS = np.arange(1, _WORDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
_SPREAD = np.uint64(0xBF58476D1CE4E5B9)


def payload_words(producers: np.ndarray, sequences: np.ndarray) -> np.ndarray:
    """(n, 24) uint64: two rounds of SplitMix64's mixing of (producer, sequence, column)."""
    key = (producers.astype(np.uint64) << np.uint64(40)) ^ sequences.astype(np.uint64)
    words = (key[:, None] + np.uint64(1)) * _SPREAD + _COLUMNS  # (n, 24), modulo 2^64
    words ^= words >> np.uint64(31)
    words *= _SPREAD
    words ^= words >> np.uint64(29)
    return words


def make_records(producer: int, first_sequence: int, num: int) -> np.ndarray:
    """(num,) records of one producer, one after the other."""
    records = np.zeros(num, RECORD)
    sequences = np.arange(first_sequence, first_sequence + num)
    records["sequence"], records["producer"], records["kind"] = sequences, producer, 16
    records["stamp_ns"] = sequences * 3 + producer
    records["length"] = RECORD.itemsize - HEADER_BYTES
    records["payload"] = payload_words(np.full(num, producer), sequences).view(np.uint8)
    return records


class Witness:
    """Sees batch after batch of one subscription; raises Wrong at the first thing that cannot be."""

    def __init__(self, *, is_from_start: bool) -> None:
        self._is_from_start = is_from_start
        self._next_ticket: int | None = None
        self._next: dict[int, int] = {}  # by producer: the sequence after the last seen
        self.num_delivered = self.num_lost = self.num_skipped = 0

    def see(self, records: np.ndarray, *, lost: int, first_ticket: int) -> None:
        self.num_lost += lost
        if not len(records):
            if self._next_ticket is not None:
                self._next_ticket += lost
            return
        if self._next_ticket is not None and first_ticket != self._next_ticket + lost:
            raise Wrong(
                f"ticket {first_ticket} follows {self._next_ticket}, with {lost} reported lost between them"
            )
        self._next_ticket = first_ticket + len(records)
        self._check_bytes(records)
        for producer in np.unique(records["producer"]).tolist():
            self._check_order(producer, records["sequence"][records["producer"] == producer].astype(np.int64))
        self.num_delivered += len(records)

    def tell(self) -> dict[str, Any]:
        return {
            "num_delivered": self.num_delivered,
            "num_lost": self.num_lost,
            "num_skipped": self.num_skipped,
            "next": self._next,
        }

    def _check_bytes(self, records: np.ndarray) -> None:
        producers, sequences = records["producer"], records["sequence"]
        is_whole = (records["payload"].view(np.uint64) == payload_words(producers, sequences)).all(axis=1)
        is_whole &= records["stamp_ns"] == sequences.astype(np.int64) * 3 + producers
        is_whole &= (records["kind"] == 16) & (records["length"] == RECORD.itemsize - HEADER_BYTES)
        if not is_whole.all():
            torn = records[~is_whole][0]
            raise Wrong(
                f"{(~is_whole).sum()} of {len(records)} records torn, first"
                f" {torn['producer']}:{torn['sequence']}"
            )

    def _check_order(self, producer: int, sequences: np.ndarray) -> None:
        """Each later than the one before; skipped records are counted and must be reported lost."""
        known = self._next.get(producer, 0 if self._is_from_start else int(sequences[0]))
        steps = np.diff(sequences, prepend=known - 1)
        if (steps < 1).any():
            raise Wrong(
                f"producer {producer}: {sequences.tolist()} after {known - 1}: twice, or out of order"
            )
        self.num_skipped += int((steps - 1).sum())
        self._next[producer] = int(sequences[-1]) + 1


def compare(report: Sequence[dict[str, Any]], board: Board, *, is_lossless: bool) -> int:
    """The number pushed, on which all witnesses agree; Wrong where their accounts do not close."""
    totals = {each["num_delivered"] + each["num_lost"] for each in report}
    if len(totals) != 1:
        raise Wrong(f"delivered + lost differs between subscribers: {sorted(totals)}")
    total, all_producers = totals.pop(), range(board.num_incarnations)
    least, most = sum(map(board.acknowledged, all_producers)), sum(map(board.intended, all_producers))
    if not least <= total <= most:
        raise Wrong(f"{total} records were in the ring; producers know of {least}, and began {most}")
    for each in report:
        _close_account(each, board, is_lossless=is_lossless)
    return total


def _close_account(report: dict[str, Any], board: Board, *, is_lossless: bool) -> None:
    """Records skipped, and those after the last one seen, equal the records reported lost.

    Only a killed producer's last batch is uncertain: it may have been linked before the kill, unacknowledged.
    """
    seen = {int(producer): following for producer, following in report["next"].items()}
    least = most = report["num_skipped"]
    for producer in range(board.num_incarnations):
        following, done, begun = seen.get(producer, 0), board.acknowledged(producer), board.intended(producer)
        if following > begun:
            raise Wrong(f"producer {producer}: sequence {following - 1} was delivered and never pushed")
        least, most = least + max(done - following, 0), most + begun - following
    if not least <= report["num_lost"] <= most:
        raise Wrong(f"{report['num_lost']} records reported lost; {least} to {most} were")
    if is_lossless and report["num_lost"]:
        raise Wrong(f"{report['num_lost']} records lost in a lossless ring")
