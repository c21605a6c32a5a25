"""The canonical bytes of a report, from which its digest is made.

Invariant: equal facts give equal bytes on every machine; a field that was added later is left out while it
has no value, so that digests of runs without it stay.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from enum import Enum
from functools import cache
from typing import Any

import msgpack

from sage.runtime.lazy import LazyTuple

#: Fields of MemoryFacts that a digest leaves out while none has a value.
ADDED_MEMORY = ("num_bound", "sidecar_error", "value_error", "sidecar_share", "salience_weights")
#: Fields that a digest leaves out while they are empty or false.
ADDED_FIELDS = ("solving", "acting", "work", "limited_by", "is_dry")
ALWAYS_LEFT_OUT = ("posture", "is_judged", "skipped", "ending", "solver_trust", "activity", "num_missing")

_pack_double = struct.Struct(">d").pack
_NAN_BYTES = _pack_double(math.nan)


def canonical(value: Any) -> bytes:
    packed: bytes = msgpack.packb(_canonical_items(value), use_bin_type=True)
    return packed


def _canonical_items(value: Any) -> Any:
    """Exact types first, for speed: a tick has hundreds of floats."""
    kind: Any = type(value)
    if kind is float:
        return _pack_double(value) if value == value else _NAN_BYTES
    if kind is int or kind is str or kind is bool:
        return value
    if isinstance(value, (tuple, LazyTuple)):
        return [_canonical_items(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            _canonical_items(getattr(value, name))
            for name in _field_names(kind)
            if not _is_left_out(value, name)
        ]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return _NAN_BYTES if math.isnan(value) else _pack_double(value)
    return value


def _is_left_out(value: Any, name: str) -> bool:
    """`solving` without puzzle streams, `acting` without worlds, ADDED_MEMORY where none of it has a
    value, what an action was limited by where it was not: digests are as before there were such fields.
    `last_success` where it is NaN. `posture`, `is_judged`, `skipped`, `ending`, `solver_trust`, `activity`
    and `num_missing` always: they follow from the other facts, the weights and the configuration. `energy`
    where it is not enabled.
    """
    if name in ALWAYS_LEFT_OUT:
        return True
    if name == "energy":
        return bool(value.energy.supply == 0)
    if name == "last_success":
        return math.isnan(value.last_success)
    return (name in ADDED_FIELDS and not getattr(value, name)) or (
        name in ADDED_MEMORY and not value.has_added
    )


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))
