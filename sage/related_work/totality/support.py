"""Which imagined schemes a sleep cycle commits: those whose slots observed schemes support.

Invariant: an imagined slot is never support for another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sage.related_work.totality.content import Scheme
from sage.related_work.totality.node_table import NodeTable

#: Share of the slots with a value: it is an observed one, or a range with an observed one in it.
MIN_SUPPORT = 0.5


def supported(made: Iterable[Scheme], table: NodeTable) -> list[Scheme]:
    """The schemes with support, without those that say what the store, or one before, says already."""
    observed: dict[str, set[str]] = {}
    numbers: dict[str, list[float]] = {}
    known: set[str] = set()
    for node in table:
        if isinstance(node.body, Scheme):
            known.add(_meaning(node.body))
            _collect(node.body, observed, numbers)
    result = []
    for scheme in made:
        meaning = _meaning(scheme)
        if meaning not in known and _support(scheme, observed, numbers) >= MIN_SUPPORT:
            known.add(meaning)
            result.append(scheme)
    return result


def _collect(scheme: Scheme, observed: dict[str, set[str]], numbers: dict[str, list[float]]) -> None:
    for slot in scheme.slots:
        if slot.binding == "observed":
            observed.setdefault(slot.name, set()).add(_json(slot.value))
            if isinstance(slot.value, (int, float)) and not isinstance(slot.value, bool):
                numbers.setdefault(slot.name, []).append(slot.value)


def _support(scheme: Scheme, observed: dict[str, set[str]], numbers: dict[str, list[float]]) -> float:
    found = 0
    stated = [slot for slot in scheme.slots if slot.value is not None]
    for slot in stated:
        if _json(slot.value) in observed.get(slot.name, ()):
            found += 1
        elif isinstance(slot.value, dict) and slot.value.keys() == {"min", "max"}:
            found += _is_within(slot.value, numbers.get(slot.name, []))
    return found / max(len(stated), 1)


def _is_within(span: dict[str, Any], numbers: list[float]) -> bool:
    low, high = span["min"], span["max"]
    is_range = isinstance(low, (int, float)) and isinstance(high, (int, float))
    return is_range and any(low <= number <= high for number in numbers)


def _meaning(scheme: Scheme) -> str:
    return _json([scheme.label, sorted(_json([slot.name, slot.value]) for slot in scheme.slots)])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
