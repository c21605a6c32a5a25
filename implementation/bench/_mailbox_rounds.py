"""Rounds in which all pairs take turns, and what is made of them.

Invariant: within a round every pair does every kind of work once, so a busy moment of the machine strikes all
alike; a figure is the median over the rounds, and a ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from _mailbox_ends import BLOCK, Peer
from _mailbox_station import Pair, PairFailed

FRAME_BYTES = 1920 * 1080 * 3  # 6.2 MB
LARGE_BYTES = 64 << 20

SINGLES_A_BURST, BLOCKS_A_BURST = (
    2048,
    256,
)  # a few milliseconds: another program spoils a burst, not the median

LATENCY, SINGLE, BY_64, PACKED_64 = (
    "256 B one way",
    "records/s, one a call",
    "records/s by 64",
    "records/s, 64 packed",
)
PLACED, SENT, LARGE_PLACED, CALL, COPYTO = (
    "6.2 MB in place",
    "6.2 MB copied in",
    "64 MB in place",
    "6.2 MB send call",
    "numpy copyto",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """rounds: how often each pair comes to its turn.  slice_secs: about how long one kind of work takes
    then.
    """

    num_rounds: int
    slice_secs: float


@dataclass(slots=True)
class Tally:
    """Each pair's figures by kind of work, one a round. Times are us (lists keep p50 and p99), rates records
    a second.
    """

    p50: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    p99: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def add_times(self, pair: str, work: str, laps: Sequence[float]) -> None:
        self.p50[pair, work].append(float(np.percentile(laps, 50)))
        self.p99[pair, work].append(float(np.percentile(laps, 99)))
        self.counts[pair, work] += len(laps)

    def add_rate(self, pair: str, work: str, per_sec: float, num: int) -> None:
        self.p50[pair, work].append(per_sec)
        self.counts[pair, work] += num

    def median(self, pair: str, work: str) -> float | None:
        found = self.p50.get((pair, work))
        return statistics.median(found) if found else None

    def median_p99(self, pair: str, work: str) -> float | None:
        found = self.p99.get((pair, work))
        return statistics.median(found) if found else None

    def ratio(self, ours: tuple[str, str], theirs: tuple[str, str]) -> float | None:
        """Median of the rounds' ratios; None where one of them was never measured."""
        pairs = list(zip(self.p50.get(ours, ()), self.p50.get(theirs, ())))
        return statistics.median(mine / other for mine, other in pairs) if pairs else None


class Turn:
    """One pair's part of the run: opened once, then one turn a round."""

    def __init__(self, pair: Pair, *, has_tensors: bool) -> None:
        self._pair, self.name = pair, pair.name
        self._has_bulk, self._has_stream = pair.each("open_records")["near"]
        self._counts = {LATENCY: self._count_pings(), SINGLE: 2 * BLOCK, BY_64: 2 * BLOCK}
        self._can: dict[int, tuple[bool, bool]] = {}
        if has_tensors:
            for num_bytes in (FRAME_BYTES, LARGE_BYTES):
                self._can[num_bytes] = pair.each("open_tensors", num_bytes)["near"]

    def take(self, plan: Plan, tally: Tally) -> None:
        laps = self._ping(self._counts[LATENCY])
        tally.add_times(self.name, LATENCY, laps)
        self._counts[LATENCY] = _aim(
            plan.slice_secs, statistics.median(laps) * 2e-6, at_least=20, at_most=4000
        )
        if self._has_stream:
            self._rate(plan, tally, SINGLE, "singles", SINGLE)
            self._rate(plan, tally, BY_64, "blocks", BY_64 if self._has_bulk else PACKED_64)
        if self._can:
            self._tensors(plan, tally, PLACED, FRAME_BYTES, is_copied=False)
            self._tensors(plan, tally, SENT, FRAME_BYTES, is_copied=True)
            self._tensors(plan, tally, LARGE_PLACED, LARGE_BYTES, is_copied=False)

    def _count_pings(self) -> int:
        self._ping(10)
        return 20

    def _ping(self, num: int) -> list[float]:
        laps: list[float] = self._pair.both("on_records", "ping_records", "echo_records", num)["near"]
        return laps

    def _rate(self, plan: Plan, tally: Tally, work: str, what: str, shown: str) -> None:
        """The median of short bursts: one that another program interrupted does not count."""
        bursts, num, spent_secs = [], self._counts[work], 0.0
        while spent_secs < plan.slice_secs:
            report = self._pair.both("on_records", f"stream_{what}", f"drain_{what}", num)
            secs = (report["far"] - report["near"]) * 1e-9
            bursts.append(num / secs)
            spent_secs += secs
        tally.add_rate(self.name, shown, statistics.median(bursts), num * len(bursts))
        most = SINGLES_A_BURST if work == SINGLE else BLOCKS_A_BURST * BLOCK
        wanted = _aim(plan.slice_secs / 4, spent_secs / (num * len(bursts)), at_least=BLOCK, at_most=most)
        self._counts[work] = wanted // BLOCK * BLOCK

    def _tensors(self, plan: Plan, tally: Tally, work: str, num_bytes: int, *, is_copied: bool) -> None:
        if not self._can[num_bytes][is_copied]:
            return
        num = self._counts.setdefault(work, 10)  # the first touches memory that was never touched
        report = self._pair.both("on_tensors", "ping_tensors", "echo_tensors", num, num_bytes, is_copied)[
            "near"
        ]
        tally.add_times(self.name, work, report["laps"])
        if is_copied:
            tally.add_times(self.name, CALL, report["calls"])
            tally.add_times(self.name, COPYTO, report["copies"])
        self._counts[work] = _aim(
            plan.slice_secs, statistics.median(report["laps"]) * 2e-6, at_least=6, at_most=1000
        )


def _aim(wanted_secs: float, secs_each: float, *, at_least: int, at_most: int) -> int:
    return int(min(max(wanted_secs / max(secs_each, 1e-9), at_least), at_most))


def run_rounds(peers: Sequence[tuple[Peer, bool]], plan: Plan) -> tuple[Tally, dict[str, str]]:
    """peers: each with whether its tensors are measured. The tally, and the reason of each pair that failed.

    A first round, not kept, tells how many messages fill a slice and touches all memory.
    """
    tally, failed, turns = Tally(), {}, {}
    pairs = {peer.name: Pair(peer) for peer, _ in peers}
    try:
        has_tensors = {peer.name: has for peer, has in peers}
        for number in range(plan.num_rounds + 1):
            for name, pair in pairs.items():
                if name in failed:
                    continue
                try:
                    if number == 0:
                        turns[name] = Turn(pair, has_tensors=has_tensors[name])
                    turns[name].take(plan, tally if number else Tally())
                except PairFailed as error:
                    failed[name] = str(error)
                    pair.close()
    finally:
        for pair in pairs.values():
            pair.tell_end()
        for pair in pairs.values():
            pair.close()
    return tally, failed
