"""The lives of messages, for a person to look at: captured, published, received, released, as a Chrome trace.

Invariant: bounded memory; while no trace is kept a mailbox pays one test of a reference a message.
Open the file in Perfetto or chrome://tracing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLife:
    """One focus message from its capture to its release, times on the mailbox's clock.  captured_ns: its
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
    """Keeps the last `capacity` lives. Given to mailboxes by `keep_trace`; adding is safe from any thread."""

    def __init__(self, capacity: int = 65_536) -> None:
        if capacity < 1:
            raise InputError(f"capacity is {capacity}: give 1 or more")
        self._lives: deque[MessageLife] = deque(maxlen=capacity)

    def add(self, life: MessageLife) -> None:
        self._lives.append(life)

    def lives(self) -> tuple[MessageLife, ...]:
        """Oldest first."""
        return tuple(self._lives)

    def __len__(self) -> int:
        return len(self._lives)

    def to_chrome(self) -> dict[str, Any]:
        """The Trace Event Format: a process for each mailbox, a row for each slot, three spans a message."""
        lives = self.lives()
        numbers = {name: index + 1 for index, name in enumerate(sorted({life.mailbox for life in lives}))}
        events = [_named("process_name", number, 0, name) for name, number in numbers.items()]
        rows = sorted({(numbers[life.mailbox], life.slot) for life in lives})
        events += [_named("thread_name", number, slot, f"slot {slot}") for number, slot in rows]
        for life in lives:
            events += _spans(life, numbers[life.mailbox])
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def write(self, path: Path) -> None:
        """OSError when it cannot be written."""
        path.write_text(json.dumps(self.to_chrome(), separators=(",", ":")))


def _spans(life: MessageLife, number: int) -> Iterator[dict[str, Any]]:
    about = {
        "sequence": life.sequence,
        "producer": life.producer,
        "generation": life.generation,
        "bytes": life.num_bytes,
    }
    edges = (life.captured_ns, life.published_ns, life.received_ns, life.released_ns)
    for name, start_ns, end_ns in zip(("write", "wait", "read"), edges, edges[1:]):
        if end_ns >= start_ns:  # a recording's stamps may lie after its publishing
            yield {
                "name": name,
                "cat": "mailbox",
                "ph": "X",
                "ts": start_ns / 1e3,
                "dur": (end_ns - start_ns) / 1e3,
                "pid": number,
                "tid": life.slot,
                "args": about,
            }


def _named(what: str, number: int, row: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": number, "tid": row, "args": {"name": name}}
