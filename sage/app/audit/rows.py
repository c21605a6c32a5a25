"""Rows of the audit log as lines of JSON, each with a hash over itself and the row before.

Invariant: a line that was changed, removed or moved breaks the chain at that place.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from sage.runtime.tick.effects import EffectDecision, EffectOutcome

#: Of the row before the first one.
FIRST_HASH = "0" * 32
_HASH_KEY = ',"hash":"'
_HASH_LENGTH = 32
#: More values than this are stored as their number and a hash.
MAX_VALUES = 64


def decision_row(decision: EffectDecision) -> dict[str, Any]:
    """event: "approved" or "denied"."""
    situation, spec = decision.situation, decision.spec
    return {
        "event": "denied" if decision.verdict == "deny" else "approved",
        "tick": situation.tick,
        "effector": spec.name,
        "effect": spec.effect,
        "target": spec.target,
        "role": decision.role,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "state": situation.state.value,
        "trust": plain(situation.trust),
        "starved": list(situation.posture.starved),
        "values": plain_values(decision.values),
    }


def outcome_row(outcome: EffectOutcome) -> dict[str, Any]:
    """event: what became of an approved action."""
    row: dict[str, Any] = {
        "event": outcome.outcome,
        "tick": outcome.tick,
        "effector": outcome.effector,
        "values": None if outcome.values is None else plain_values(outcome.values),
    }
    if outcome.outcome not in ("done", "dry"):
        row["reason"] = outcome.reason
    if outcome.limited_by:
        row["limited_by"] = list(outcome.limited_by)
    return row


def plain(value: float) -> float | None:
    """Six digits; null for NaN and infinity."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def plain_values(values: np.ndarray) -> Any:
    flat = values.reshape(-1)
    if len(flat) > MAX_VALUES:
        digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()
        return {"num": len(flat), "blake2b": digest}
    return [plain(float(value)) for value in flat]


def to_line(row: dict[str, Any], previous: str) -> tuple[str, str]:
    """The line, without its end, and its hash."""
    text = json.dumps(row, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    digest = _hash(text, previous)
    return f'{text[:-1]}{_HASH_KEY}{digest}"}}', digest


def from_line(line: str) -> tuple[dict[str, Any], str, str]:
    """(row, its hash, its text without the hash). ValueError for a line that is not a row."""
    start = len(line) - len(_HASH_KEY) - _HASH_LENGTH - 2
    if start < 1 or line[start : start + len(_HASH_KEY)] != _HASH_KEY or line[-2:] != '"}':
        raise ValueError("the line has no hash")
    text = f"{line[:start]}}}"
    row = json.loads(text)
    if "n" not in row:
        raise ValueError("the line is not a row")
    return row, line[start + len(_HASH_KEY) : -2], text


def follows(text: str, digest: str, previous: str) -> bool:
    """Whether a row's hash is right, with that of the row before."""
    return _hash(text, previous) == digest


def _hash(text: str, previous: str) -> str:
    return hashlib.blake2b(f"{previous}{text}".encode(), digest_size=_HASH_LENGTH // 2).hexdigest()
