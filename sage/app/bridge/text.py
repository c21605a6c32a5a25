"""What `sage bridge` prints: entries to paste into a configuration, and totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import yaml

from sage.app.bridge.receiving import MirrorTotals
from sage.app.bridge.serving import MailboxTotals, SourceTotals
from sage.sensors.remote.wire import described


def entries(found: Mapping[tuple[str, str], bytes], endpoint: str) -> str:
    """Sensors of a configuration, one for each source of the other hosts, as YAML. DataError for a
    description that cannot be read.
    """
    items = []
    for (host, source), description in sorted(found.items()):
        spec = described(description, source)
        entry: dict[str, object] = {
            "kind": "remote",
            "name": f"{host}.{source}",
            "endpoint": endpoint,
            "host": host,
            "source": source,
            "shape": list(spec.tensor.shape),
            "dtype": spec.tensor.dtype,
            "rate_hz": float(f"{1e9 / spec.period_ns:.6g}"),
            "quantity": spec.observes[0],
            "unit": spec.observes[1],
        }
        if spec.channels:
            entry["channels"] = list(spec.channels)
        if spec.modality != "physical":
            entry["modality"] = spec.modality
        items.append(entry)
    text: str = yaml.safe_dump({"sensors": items}, sort_keys=False, default_flow_style=None, width=120)
    return text


def totals_text(totals: Sequence[SourceTotals], mailboxes: Sequence[MailboxTotals] = ()) -> str:
    """One line a source, and one a mailbox."""
    lines = [
        f"{each.name}: {each.num_sent:,} readings, {each.num_bytes:,} bytes sent, {each.num_faults} faults,"
        f" {each.status}"
        for each in totals
    ]
    for box in mailboxes:
        ended = ", closed by its process" if box.is_closed else ""
        lines.append(f"mailbox {box.name}: {box.num_sent:,} records, {box.num_bytes:,} bytes sent{ended}")
    return "\n".join(lines)


def mirror_text(totals: MirrorTotals) -> str:
    """One line."""
    age = "" if math.isnan(totals.age_p95_ns) else f", age p95 {totals.age_p95_ns / 1e6:.1f} ms"
    faults = f", {totals.num_faults} unreadable messages ({totals.problem})" if totals.num_faults else ""
    return f"mailbox {totals.name}: {totals.num_received:,} records, {totals.num_lost:,} lost{age}{faults}"
