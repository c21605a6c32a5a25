"""The audit log as text: one line a row."""

from __future__ import annotations

import time
from typing import Any


def as_text(row: dict[str, Any]) -> str:
    """Time (UTC), tick, effector, event, then what is known of the reason, the limits and the values."""
    secs, ns = divmod(row.get("wall_ns", 0), 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(secs))
    parts = [f"{stamp}.{ns // 1_000_000:03}"]
    if "tick" in row:
        parts.append(f"tick {row['tick']}")
    if "effector" in row:
        parts.append(row["effector"])
    parts.append(row.get("event", "?"))
    if row.get("verdict") == "warn":
        parts.append("with a warning")
    if "role" in row:
        parts.append(f"({row['effect']}/{row['target']} by {row['role']}, {row['state']})")
    details = [
        row.get("reason", ""),
        f"limited by {', '.join(row['limited_by'])}" if row.get("limited_by") else "",
        _values(row.get("values")),
    ]
    return "  ".join(parts) + "".join(f": {detail}" for detail in details if detail)


def _values(values: Any) -> str:
    if isinstance(values, dict):
        return f"{values['num']} values {values['blake2b'][:8]}"
    if not isinstance(values, list):
        return ""
    shown = ["nan" if value is None else f"{value:g}" for value in values[:8]]
    return f"[{', '.join(shown)}{', ...' if len(values) > 8 else ''}]"
