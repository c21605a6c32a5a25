"""`sage mailbox`: the mailboxes shared by processes, with their users, traffic and latencies.

Invariant: reading them adds no participant and takes no lock that a mailbox's users wait for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from sage.app.terminal import figures
from sage.app.terminal.errors import UserError, nearest
from sage.mailbox.errors import MailboxError
from sage.mailbox.histogram import Percentiles
from sage.mailbox.hub import HubStatistics
from sage.mailbox.shared.focus.layout import KIND as POOL
from sage.mailbox.shared.focus.statistics import peek_statistics as peek_focus_statistics
from sage.mailbox.shared.memory.census import Found, find_segments
from sage.mailbox.shared.ring.layout import KIND as RING
from sage.mailbox.shared.ring.statistics import peek_statistics
from sage.runtime.sleep.puzzles.process.board import Board
from sage.sensors.driver.isolation.status import SensorStatus

_KIND_NAMES = {RING: "peripheral", POOL: "focus", SensorStatus.KIND: "sensor", Board.KIND: "trainer"}


def render_found(found: Sequence[Found]) -> None:
    if not found:
        _print("no mailboxes between processes on this machine")
        return
    table = _table("name", "kind", "memory", "maximum", "processes", "state")
    for each in found:
        who = " ".join(str(pid) for pid in each.pids) or "-"
        state = each.problem or (
            "abandoned: `sage mailbox clean`" if each.is_abandoned else f"created by {each.creator}"
        )
        dead = f", {each.num_dead} ended processes not yet removed" if each.num_dead else ""
        kind = _KIND_NAMES.get(each.kind, "?")
        table.add_row(
            each.name,
            kind,
            figures.num_bytes(each.resident_bytes),
            figures.num_bytes(each.num_bytes),
            who,
            state + dead,
        )
    _print(table)


def read_snapshot(name: str | None) -> HubStatistics:
    """UserError for a name that does not exist."""
    found = {each.name: each for each in find_segments() if not each.problem}
    if name is not None and name not in found:
        raise UserError(f"mailbox {name}: no such mailbox: {nearest(name, found)}")
    wanted = [found[name]] if name is not None else list(found.values())
    try:
        return HubStatistics(
            taken_ns=time.monotonic_ns(),
            peripheral=tuple(peek_statistics(each.name) for each in wanted if each.kind == RING),
            focus=tuple(peek_focus_statistics(each.name) for each in wanted if each.kind == POOL),
        )
    except MailboxError as error:
        raise UserError(str(error)) from error


def render_snapshot(snapshot: HubStatistics) -> None:
    for ring in snapshot.peripheral:
        _print(f"{ring.name}  {ring.mode} ring of {ring.capacity} records of {ring.record_bytes} bytes")
        _print(
            f"  {ring.pushed:,} pushed, {ring.popped:,} popped, {ring.lost:,} lost, {ring.refused:,} refused"
        )
        _print(f"  depth {ring.depth}, high water {ring.high_water}, push to pop {_times(ring.push_to_pop)}")
        for cursor in ring.subscriptions:
            _print(f"  {cursor.name}: lag {cursor.lag}, popped {cursor.popped:,}, lost {cursor.lost:,}")
    for pool in snapshot.focus:
        _print(
            f"{pool.name}  pool of {pool.slots} slots of {figures.num_bytes(pool.slot_bytes)}, {pool.policy}"
        )
        _print(
            f"  {pool.pushed:,} published, {pool.popped:,} received, {pool.free} slots free, depth"
            f" {pool.depth}"
        )
        by_reference, copied = figures.num_bytes(pool.bytes_referenced), figures.num_bytes(pool.bytes_copied)
        _print(f"  {by_reference} by reference, {copied} copied; {pool.leaks} leaks, {pool.orphans} orphans")
        _print(f"  push to pop {_times(pool.push_to_pop)}; borrowed for {_times(pool.borrow)}")
        for holder in pool.holders:
            _print(f"  {holder}")
    if not snapshot.peripheral and not snapshot.focus:
        _print("no mailboxes between processes on this machine")


def _times(percentiles: Percentiles) -> str:
    if not percentiles.count:
        return figures.DASH
    return (
        " / ".join(f"{getattr(percentiles, name) / 1e3:,.0f}" for name in ("p50_ns", "p95_ns", "p99_ns"))
        + " us"
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "state", overflow="fold")
    return table


def _print(what: object) -> None:
    Console().print(what, markup=False, highlight=False)
