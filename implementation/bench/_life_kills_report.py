"""Tables and bars of a life with kills."""

from __future__ import annotations

from typing import Any

import harness
from _life_kills import RATE_HZ, Life, Scale

#: LIFE.md: of a night, against waking.
RATIO_BAR = 1.5


def plain(life: Life) -> dict[str, Any]:
    """The life for the document, without each tick."""
    found = {name: getattr(life, name) for name in life.__slots__ if name != "ticks"}
    return found | {"kills": dict(life.kills), "nights": dict(life.nights), "ticks": ticks_of(life)}


def ticks_of(life: Life) -> dict[str, dict[str, float]]:
    """By phase: how many, their milliseconds, and the milliseconds that they began late."""
    return {
        name: {
            "num": sum(each[2] == killed for each in life.ticks),
            "p50_ms": life.percentile(50, killed=killed),
            "p99_ms": life.percentile(99, killed=killed),
            "late_p99_ms": life.percentile(99, killed=killed, late=True),
        }
        for name, killed in (("with kills", True), ("without", False))
    }


def tables(life: Life) -> list[harness.TextTable]:
    rows = tuple(
        (name, f"{of['num']:,.0f}", *(f"{of[key]:.2f}" for key in ("p50_ms", "p99_ms", "late_p99_ms")))
        for name, of in ticks_of(life).items()
    )
    columns = ("phases", "ticks", "p50 ms", "p99 ms", "began late, p99 ms")
    counts = (
        ("kills", ", ".join(f"{num} {kind}" for kind, num in sorted(life.kills.items()))),
        ("restarts", f"{life.restarts}"),
        ("nights", ", ".join(f"{num} {kind}" for kind, num in sorted(life.nights.items()))),
        (
            "experiences, acknowledged, on the disk",
            f"{life.experiences}, {life.acknowledged}, {life.on_disk}",
        ),
        ("copies of the folder read, one a kill", f"{life.checked}"),
        ("steps", f"{life.steps:,}"),
        ("seconds", f"{life.secs:.0f}"),
    )
    return [
        harness.TextTable(title="Ticks of the loop", columns=columns, rows=rows),
        harness.TextTable(title="The life", columns=("", "count"), rows=counts),
    ]


def bars(life: Life, scale: Scale) -> list[harness.Bar]:
    """The ratio is owed with fewer than 1000 ticks on either side, and where the ticks without kills take
    longer than their period: beside a loop that cannot keep its rate any loop is as good.
    """
    ticks = ticks_of(life)
    is_enough = min(each["num"] for each in ticks.values()) >= 1000
    is_enough = is_enough and ticks["without"]["p99_ms"] <= 1000 / RATE_HZ
    ratio = ticks["with kills"]["p99_ms"] / ticks["without"]["p99_ms"] if is_enough else None
    zeros = {
        "acknowledged experiences that a kill lost": life.lost,
        "acknowledged experiences missing at the end": life.acknowledged - life.on_disk,
        "experiences that found no room": life.unsent,
        "files that cannot be read": len(life.damaged),
        "processes left": life.processes_left,
        "files left in /dev/shm": life.shared_left,
        "unfinished files left in the folder": life.files_left,
        "bytes copied between loop and trainer": life.bytes_copied,
    }
    wanted = Scale().num_kills
    found = [
        harness.Bar(
            name="kills",
            value=float(life.kills.total()) if scale.num_kills >= wanted else None,
            bar=wanted,
            better="higher",
        ),
        harness.Bar(name="p99 of a tick, with kills / without", value=ratio, bar=RATIO_BAR, better="lower"),
    ]
    return found + [
        harness.Bar(name=name, value=float(value), bar=0.0, better="lower") for name, value in zeros.items()
    ]
