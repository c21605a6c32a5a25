"""One pass through a recording of a run for all the sources that replay it.

Invariant: the items of a source come in the order in which they were recorded, each once, and none before its
time; memory holds what is due and not taken yet. Where the file is damaged, every source gets what came
before and then the error; a stream that is opened behind that place goes on.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.errors import DataError
from sage.sensors.recordings.codec import FORM_KEY, SOURCE_KEY
from sage.sensors.recordings.mcap_file import McapFile

#: Name of the metadata record with the start of a run.
RUN_RECORD = "sage.run"


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """Something that a source did. Times are since the run's start. form: of its channel."""

    at_ns: int
    captured_ns: int
    form: str
    message: dict[str, Any]


class RecordedStream:
    """Opened at `from_ns`, a time since the run's start. Thread-safe. DataError for a file of another
    program.
    """

    def __init__(self, path: Path, from_ns: int) -> None:
        self._file = McapFile(path)
        self._lock = threading.Lock()
        self._queues: dict[str, deque[RecordedItem]] = {}
        self._joined: set[str] = set()
        try:
            self.start_ns = start_of(self._file)
            self._end_ns = end_of(self._file) - self.start_ns
            self._items = self._read(from_ns)
            self._next = next(self._items, None)
        except BaseException:
            self._file.close()
            raise
        self._problem = ""

    def join(self, source: str, from_ns: int) -> None:
        """Keep the items of a source from `from_ns` on."""
        with self._lock:
            self._joined.add(source)
            _drop_before(self._queues.setdefault(source, deque()), from_ns)

    def leave(self, source: str) -> None:
        """Keep its items no longer, but those of the newest time: it may join again at once."""
        with self._lock:
            self._joined.discard(source)

    def peek(self, source: str, now_ns: int) -> RecordedItem | None:
        """The next item of a source that is due; it stays. DataError where the file is damaged behind it."""
        with self._lock:
            self._advance(now_ns)
            queue = self._queues[source]
            if not queue and self._problem:
                raise DataError(self._problem)
            return queue[0] if queue else None

    def take(self, source: str) -> None:
        """Remove the item that `peek` returned."""
        with self._lock:
            self._queues[source].popleft()

    def is_over(self, source: str, now_ns: int) -> bool:
        """The run had ended by then, and nothing of the source is left. DataError as `peek`."""
        return now_ns > self._end_ns and self.peek(source, now_ns) is None

    def close(self) -> None:
        self._file.close()

    def _advance(self, now_ns: int) -> None:
        while self._next is not None and self._next[1].at_ns <= now_ns:
            source, item = self._next
            queue = self._queues.setdefault(source, deque())
            if source not in self._joined:
                _drop_before(queue, item.at_ns)
            queue.append(item)
            self._next = None
            try:
                self._next = next(self._items, None)
            except DataError as error:
                self._problem = str(error)

    def _read(self, from_ns: int) -> Iterator[tuple[str, RecordedItem]]:
        topics = [each.topic for each in self._file.channels() if SOURCE_KEY in each.metadata]
        start_ns = self.start_ns
        for _, channel, record in self._file.messages(topics=topics, starting_at=start_ns + from_ns):
            if SOURCE_KEY not in channel.metadata:  # another channel of the topic, in an earlier recording
                continue
            item = RecordedItem(
                at_ns=record.log_time - start_ns,
                captured_ns=record.publish_time - start_ns,
                form=channel.metadata.get(FORM_KEY, ""),
                message=self._parsed(record.data),
            )
            yield channel.metadata[SOURCE_KEY], item

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            message = json.loads(data)
        except ValueError as error:
            raise DataError(f"{self._file.path}: a message is not JSON: {error}") from error
        if not isinstance(message, dict):
            raise DataError(f"{self._file.path}: a message is {type(message).__name__}: expected an object")
        return message


def _drop_before(queue: deque[RecordedItem], time_ns: int) -> None:
    while queue and queue[0].at_ns < time_ns:
        queue.popleft()


def start_of(file: McapFile) -> int:
    """Wall time of the run's start in ns. DataError for a file that is no recording of a run."""
    try:
        return int(file.metadata()[RUN_RECORD]["start_ns"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{file.path}: not a recording of a run: replay it with sensors of the kind mcap"
        ) from error


def end_of(file: McapFile) -> int:
    """Log time of the last message in ns; 0 without one."""
    statistics = file.summary.statistics
    return 0 if statistics is None else statistics.message_end_time
