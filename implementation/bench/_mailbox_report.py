"""Bars and tables of the mailbox benchmark, from the rounds and the kills.

Invariant: a bar without a measurement is owed (None), never met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import harness
from _mailbox_faults import Faults
from _mailbox_rounds import BY_64, CALL, COPYTO, LARGE_PLACED, LATENCY, PACKED_64, PLACED, SENT, SINGLE, Tally
from mailbox_cuda import (
    BARS as CUDA_BARS,  # what only a GPU can show; its `measure` gives values by the same names
)

TIMES, RATES = (LATENCY, PLACED, LARGE_PLACED, SENT, CALL, COPYTO), (SINGLE, BY_64, PACKED_64)
SPIN, BLOCK, IDLE = "sage spin", "sage block", "sage block, 8 idle topics"
ICEORYX_SPIN, ICEORYX_EVENT, PIPE, QUEUE, TORCH = (
    "iceoryx2 spin",
    "iceoryx2 event",
    "Pipe",
    "Queue",
    "torch.multiprocessing",
)
OURS = (SPIN, BLOCK, IDLE)


def make_bars(
    tally: Tally,
    proof: Mapping[str, Any],
    faults: Faults,
    cuda: Mapping[str, float | None],
    peers: Sequence[str] = (),
) -> list[harness.Bar]:
    """peers: of which the best is taken; its bars are owed where one of them has no figure."""

    def lower(name: str, value: float | None, bar: float) -> harness.Bar:
        return harness.Bar(name=name, value=value, bar=bar, better="lower")

    def higher(name: str, value: float | None, bar: float) -> harness.Bar:
        return harness.Bar(name=name, value=value, bar=bar, better="higher")

    ratio = tally.ratio
    singles = [ratio((SPIN, SINGLE), (ICEORYX_SPIN, SINGLE)), ratio((BLOCK, SINGLE), (ICEORYX_EVENT, SINGLE))]
    bars = [
        lower("256 B, spinning, over iceoryx2", ratio((SPIN, LATENCY), (ICEORYX_SPIN, LATENCY)), 0.6),
        lower(
            "256 B, blocking, over iceoryx2 + event", ratio((BLOCK, LATENCY), (ICEORYX_EVENT, LATENCY)), 0.95
        ),
        lower("256 B, blocking, over Pipe", ratio((BLOCK, LATENCY), (PIPE, LATENCY)), 1.05),
        higher("single records/s over iceoryx2, the worse of spinning and blocking", _least(singles), 1.5),
        higher("single records/s, blocking, over Queue", ratio((BLOCK, SINGLE), (QUEUE, SINGLE)), 2.5),
        higher(
            "records/s by 64, every byte checked, over the best peer's a message a record",
            best_ratio(tally, SINGLE, peers),
            10.0,
        ),
        higher(
            "records/s by 64, every byte checked, over the best peer's 64 packed into a message",
            best_ratio(tally, PACKED_64, peers),
            1.5,
        ),
        higher("zero copy: a nonce written after the hand-over is read", float(proof["is_same_page"]), 1.0),
        lower(
            "6.2 MB in place, blocking, over iceoryx2", ratio((BLOCK, PLACED), (ICEORYX_EVENT, PLACED)), 1.0
        ),
        lower("6.2 MB in place, over torch's shared pool", ratio((BLOCK, PLACED), (TORCH, PLACED)), 0.12),
        lower("64 MB in place over 6.2 MB", ratio((BLOCK, LARGE_PLACED), (BLOCK, PLACED)), 2.0),
        lower(
            "6.2 MB copied in, the sender's call over numpy.copyto",
            ratio((BLOCK, CALL), (BLOCK, COPYTO)),
            1.15,
        ),
        lower("1 busy topic beside 8 idle ones, over 1 alone", ratio((IDLE, LATENCY), (BLOCK, LATENCY)), 2.0),
        lower(
            "kill -9: survivors stuck, records torn, duplicated or lost without a report",
            float(len(faults.problems)),
            0.0,
        ),
        lower(
            "kill -9: a dead one's slots and cursors free again, p95 ms", _or_missed(faults.reaped_ms), 10.0
        ),
    ]
    return bars + [
        (lower if better == "lower" else higher)(name, cuda.get(name), bar) for name, bar, better in CUDA_BARS
    ]


def best_ratio(tally: Tally, work: str, peers: Sequence[str] = ()) -> float | None:
    """Our bulk calls over the peer that carries most records a second, by `work`. None where one of `peers`
    has no figure: it may be the best.
    """
    if any(tally.median(pair, work) is None for pair in peers):
        return None
    best = best_peer(tally, work)
    return None if best is None else tally.ratio((BLOCK, BY_64), (best, work))


def best_peer(tally: Tally, work: str) -> str | None:
    rates = {
        pair: tally.median(pair, work) or 0.0 for pair, what in tally.p50 if what == work and pair not in OURS
    }
    return max(rates, key=lambda pair: rates[pair], default=None)


def _least(values: Sequence[float | None]) -> float | None:
    """None where one is absent: it may be the least."""
    known = [value for value in values if value is not None]
    return min(known, default=None) if len(known) == len(values) else None


def _or_missed(value: float | None) -> float:
    """The kills were tried: without a figure they failed."""
    return math.nan if value is None else value


def describe(tally: Tally) -> list[dict[str, Any]]:
    """One row a pair and kind of work, with each round's figure."""
    rows = []
    for (pair, work), rounds in tally.p50.items():
        row: dict[str, Any] = {"pair": pair, "work": work, "n": tally.counts[pair, work]}
        if work in RATES:
            row |= {"records_per_sec": tally.median(pair, work), "rounds": rounds}
        else:
            row |= {
                "p50_us": tally.median(pair, work),
                "p99_us": tally.median_p99(pair, work),
                "rounds": rounds,
            }
        rows.append(row)
    return rows


def tables(
    tally: Tally, absent: Sequence[str], failed: Mapping[str, str], faults: Faults
) -> list[harness.TextTable]:
    pairs = list(dict.fromkeys(pair for pair, _ in tally.p50))
    return [
        _table(
            "Time, p50 / p99 in us",
            TIMES,
            pairs,
            lambda pair, work: _times(tally, pair, work),
            absent,
            failed,
        ),
        _table("Records a second", RATES, pairs, lambda pair, work: _rate(tally, pair, work), absent, failed),
        _faults_table(faults),
    ]


def _table(
    title: str, works: Sequence[str], pairs: Sequence[str], cell: Any, absent: Any, failed: Any
) -> harness.TextTable:
    rows = [(pair, *(cell(pair, work) for work in works)) for pair in pairs]
    blank = ("",) * (len(works) - 1)
    rows += [(pair, "absent", *blank) for pair in absent]
    rows += [
        (pair, "failed: " + reason.strip().splitlines()[-1][:60], *blank) for pair, reason in failed.items()
    ]
    return harness.TextTable(title=title, columns=("", *works), rows=tuple(rows))


def _times(tally: Tally, pair: str, work: str) -> str:
    p50, p99 = tally.median(pair, work), tally.median_p99(pair, work)
    return "-" if p50 is None or p99 is None else f"{p50:,.1f} / {p99:,.0f}"


def _rate(tally: Tally, pair: str, work: str) -> str:
    per_sec = tally.median(pair, work)
    return "-" if per_sec is None else f"{per_sec:,.0f}"


def _faults_table(faults: Faults) -> harness.TextTable:
    report = faults.describe()
    rows = [
        (
            f"stream, {each['mode']}",
            f"{each['num_kills']} kills, {each['num_stops']} stops",
            f"{each['num_pushed']:,} records",
            "",
        )
        for each in report["streams"]
    ]
    rows += [
        (f"victim {scene}", f"{each['n']} kills", _waited(each, "since_kill"), _waited(each, "since_end"))
        for scene, each in report["scenes"].items()
    ]
    rows += [("wrong", problem.strip().splitlines()[-1], "", "") for problem in faults.problems]
    return harness.TextTable(
        title="Kills",
        columns=("", "how many", "survivor continues after the kill", "after the end"),
        rows=tuple(rows),
    )


def _waited(report: Mapping[str, float], since: str) -> str:
    return f"{report[f'{since}_p50_ms']:.1f} ms, most {report[f'{since}_max_ms']:.1f}"
