"""A hub's statistics in Prometheus' text format (version 0.0.4).

Invariant: each family has one type and one help line; counters only grow while a mailbox exists; label values
are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from sage.mailbox.histogram import Percentiles
from sage.mailbox.hub import HubStatistics
from sage.mailbox.statistics import FocusStatistics, PeripheralStatistics

_QUANTILES = (("0.5", "p50_ns"), ("0.95", "p95_ns"), ("0.99", "p99_ns"))


@dataclass(frozen=True, slots=True)
class _Family:
    name: str
    kind: str
    about: str
    samples: list[str] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        self.samples.append(
            f"{self.name}{{{inner}}} {value:.9g}"
            if isinstance(value, float)
            else f"{self.name}{{{inner}}} {value}"
        )


def prometheus_text(snapshot: HubStatistics) -> str:
    """The complete text, ending with a line feed. Times are in seconds."""
    families = [
        *_shared_families(snapshot),
        *_ring_families(snapshot.peripheral),
        *_pool_families(snapshot.focus),
    ]
    lines = []
    for family in families:
        if family.samples:
            lines += [
                f"# HELP {family.name} {family.about}",
                f"# TYPE {family.name} {family.kind}",
                *family.samples,
            ]
    return "\n".join(lines) + "\n" if lines else ""


def _shared_families(snapshot: HubStatistics) -> list[_Family]:
    pushed = _Family("sage_mailbox_pushed_total", "counter", "Messages pushed or published.")
    popped = _Family("sage_mailbox_popped_total", "counter", "Messages popped or received.")
    copied = _Family(
        "sage_mailbox_copied_bytes_total", "counter", "Bytes copied by the mailbox itself: 0 is zero copy."
    )
    depth = _Family("sage_mailbox_depth", "gauge", "Messages waiting (for the slowest reader).")
    high = _Family("sage_mailbox_high_water", "gauge", "The greatest depth so far.")
    wait = _Family("sage_mailbox_push_to_pop_seconds", "gauge", "Time from push to pop, by quantile.")
    boxes: tuple[PeripheralStatistics | FocusStatistics, ...] = (*snapshot.peripheral, *snapshot.focus)
    for box in boxes:
        labels = {
            "mailbox": box.name,
            "kind": "peripheral" if isinstance(box, PeripheralStatistics) else "focus",
        }
        pushed.add(box.pushed, **labels)
        popped.add(box.popped, **labels)
        copied.add(box.bytes_copied, **labels)
        depth.add(box.depth, **labels)
        high.add(box.high_water, **labels)
        _add_quantiles(wait, box.push_to_pop, labels)
    return [pushed, popped, copied, depth, high, wait]


def _ring_families(rings: Iterable[PeripheralStatistics]) -> list[_Family]:
    refused = _Family("sage_mailbox_refused_total", "counter", "Pushes that a full lossless ring refused.")
    lost = _Family("sage_mailbox_lost_total", "counter", "Records overwritten before a subscriber read them.")
    lag = _Family("sage_mailbox_lag", "gauge", "Records that a subscriber has not read yet.")
    for ring in rings:
        refused.add(ring.refused, mailbox=ring.name)
        for cursor in ring.subscriptions:
            lost.add(cursor.lost, mailbox=ring.name, subscriber=cursor.name)
            lag.add(cursor.lag, mailbox=ring.name, subscriber=cursor.name)
    return [refused, lost, lag]


def _pool_families(pools: Iterable[FocusStatistics]) -> list[_Family]:
    referenced = _Family("sage_mailbox_referenced_bytes_total", "counter", "Bytes received by reference.")
    slots = _Family("sage_mailbox_slots", "gauge", "Slots of the pool: all, and free.")
    dropped = _Family(
        "sage_mailbox_dropped_total", "counter", "Messages dropped and loans refused, by reason and producer."
    )
    held = _Family("sage_mailbox_held_slots", "gauge", "Slots in use by a producer's loans and messages.")
    leaks = _Family("sage_mailbox_leaks_total", "counter", "Releases after which a view still held the slot.")
    orphans = _Family(
        "sage_mailbox_orphans_total", "counter", "Loans and leases that their owner did not end."
    )
    borrow = _Family("sage_mailbox_borrow_seconds", "gauge", "Time from receive to release, by quantile.")
    for pool in pools:
        referenced.add(pool.bytes_referenced, mailbox=pool.name)
        slots.add(pool.slots, mailbox=pool.name, state="all")
        slots.add(pool.free, mailbox=pool.name, state="free")
        leaks.add(pool.leaks_total, mailbox=pool.name)
        orphans.add(pool.orphans, mailbox=pool.name)
        for producer in pool.producers:
            held.add(producer.held, mailbox=pool.name, producer=str(producer.producer))
            for reason, count in asdict(producer.drops).items():
                dropped.add(count, mailbox=pool.name, producer=str(producer.producer), reason=reason)
        _add_quantiles(borrow, pool.borrow, {"mailbox": pool.name})
    return [referenced, slots, dropped, held, leaks, orphans, borrow]


def _add_quantiles(family: _Family, percentiles: Percentiles, labels: dict[str, str]) -> None:
    if percentiles.count:
        for quantile, field_name in _QUANTILES:
            family.add(getattr(percentiles, field_name) / 1e9, **labels, quantile=quantile)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
