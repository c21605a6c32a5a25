"""A Chrome/Perfetto trace of focus messages: captured, published, received, released.

Invariant: memory is bounded; without a trace a mailbox only tests one reference per message.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.durable import write_file
from sage.errors import InputError

#: The number of the process of spans that are no messages; mailboxes have those above.
OTHERS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedMessage:
    """One focus message from capture to release; times are on the mailbox's clock.  captured_ns: its
    stamp.
    """

    mailbox: str
    slot: int
    generation: int
    producer: int
    sequence: int
    num_bytes: int
    captured_ns: int
    published_ns: int
    received_ns: int
    released_ns: int


class MessageTrace:
    """The last `capacity` messages. Pass it to a mailbox's `keep_trace`. Adding is thread-safe."""

    def __init__(self, capacity: int = 65_536) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}: give 1 or more")
        self._messages: deque[TracedMessage] = deque(maxlen=capacity)

    def add(self, message: TracedMessage) -> None:
        self._messages.append(message)

    def messages(self) -> tuple[TracedMessage, ...]:
        """Oldest first."""
        return tuple(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def to_chrome(self) -> dict[str, Any]:
        """In the Trace Event Format: a process per mailbox, a row per slot, three spans per message."""
        messages = self.messages()
        names = sorted({message.mailbox for message in messages})
        numbers = {name: number for number, name in enumerate(names, OTHERS + 1)}
        events = [named("process_name", number, 0, name) for name, number in numbers.items()]
        rows = sorted({(numbers[message.mailbox], message.slot) for message in messages})
        events += [named("thread_name", number, slot, f"slot {slot}") for number, slot in rows]
        for message in messages:
            events += _spans(message, numbers[message.mailbox])
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def write(self, path: Path, others: Sequence[dict[str, Any]] = ()) -> None:
        """Whole or not at all. others: events of the process OTHERS. OSError if it cannot be written."""
        trace = self.to_chrome()
        trace["traceEvents"] += others
        write_file(path, json.dumps(trace, separators=(",", ":")).encode())


def _spans(message: TracedMessage, number: int) -> Iterator[dict[str, Any]]:
    about = {
        "sequence": message.sequence,
        "producer": message.producer,
        "generation": message.generation,
        "bytes": message.num_bytes,
    }
    edges = (message.captured_ns, message.published_ns, message.received_ns, message.released_ns)
    for name, start_ns, end_ns in zip(("write", "wait", "read"), edges, edges[1:]):
        if end_ns >= start_ns:  # stamps of a recording may be later than its publication
            yield {
                "name": name,
                "cat": "mailbox",
                "ph": "X",
                "ts": start_ns / 1e3,
                "dur": (end_ns - start_ns) / 1e3,
                "pid": number,
                "tid": message.slot,
                "args": about,
            }


def named(what: str, number: int, row: int, name: str) -> dict[str, Any]:
    """The name of a process or of a row of it."""
    return {"name": what, "ph": "M", "pid": number, "tid": row, "args": {"name": name}}
