"""Limits of a message, so that a small one cannot take much memory when it is read.

Invariant: every read of one message counts its lists and maps in one budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sage.gr00t_integration.wire.errors import WireError, refuse_pickle

#: Of one message, and of one array in it. Four cameras of 1080p with two frames are 50 MB.
MAX_BYTES = 64 << 20
#: Elements of all lists and maps of one message.
MAX_NODES = 20_000
MAX_TEXT_BYTES = 1 << 20
MAX_ARRAY_DIMS = 8


class NodeBudget:
    """Counts the lists and maps of one message."""

    def __init__(self, hook: Callable[[dict[Any, Any]], Any]) -> None:
        self._hook = hook
        self._num_left = MAX_NODES

    def of_list(self, values: list[Any]) -> list[Any]:
        self._spend(len(values))
        return values

    def of_map(self, values: dict[Any, Any]) -> Any:
        self._spend(len(values))
        return self._hook(values)

    def _spend(self, num: int) -> None:
        self._num_left -= num + 1
        if self._num_left < 0:
            raise WireError(f"message: more than {MAX_NODES} values in lists and maps: send arrays")


def unpack_message(data: bytes, hook: Callable[[dict[Any, Any]], Any]) -> Any:
    """One msgpack value from a whole message. hook: called with each map, innermost first.

    WireError for whatever is not one complete value within the limits.
    """
    import msgpack

    if len(data) > MAX_BYTES:
        raise WireError(f"message: {len(data)} bytes: send {MAX_BYTES} at most")
    refuse_pickle(data, "message")
    budget = NodeBudget(hook)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            object_hook=budget.of_map,
            list_hook=budget.of_list,
            ext_hook=_no_extension,
            max_array_len=MAX_NODES,
            max_map_len=MAX_NODES,
            max_str_len=MAX_TEXT_BYTES,
        )
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, MemoryError) as error:
        raise WireError(
            f"message: {len(data)} bytes that are not msgpack ({type(error).__name__}: {error}):"
            " give the address of a policy server"
        ) from error


def pack_message(value: Any, encode: Callable[[Any], Any]) -> bytes:
    """A message. encode: called with what msgpack has no form for. InputError where there is none."""
    import msgpack

    def convert(other: Any) -> Any:
        return list(other) if type(other) is tuple else encode(other)

    # strict_types: a numpy number that is also a Python float is refused like the others.
    packed: bytes = msgpack.packb(value, default=convert, use_bin_type=True, strict_types=True)
    if len(packed) > MAX_BYTES:
        raise WireError(f"message: {len(packed)} bytes: send {MAX_BYTES} at most: smaller images")
    return packed


def _no_extension(code: int, data: bytes) -> Any:
    raise WireError(f"message: msgpack extension {code}: send maps, lists, text, numbers and arrays")
