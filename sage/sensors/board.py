"""What sensors may read of the other sources of a run, and the texts that they add to their readings.

The app makes one board a run and passes it in `SensorContext.board`; the loop posts the newest readings once
a tick, and takes the texts. Invariants: a reader gets one tick's values, all together; texts are bounded in
number and the oldest is dropped. Safe between threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from sage.errors import InputError

#: `SensorSpec.observes[0]` of an answer in an embedding space, of class probabilities, of what turned out to
#: be right (in the same space), and of the right class; each alone, or followed by ":" and a topic. The
#: unit of an answer and an outcome is the name of their space.
ANSWER, CLASSES, OUTCOME, LABEL = "answer", "classes", "outcome", "label"
MAX_WAITING = 64
KeptT = TypeVar("KeptT")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerText:
    """The text of one reading. sequence: of the reading.  right: 0..1 by a checker, None where unknown."""

    sequence: int
    text: str
    right: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The newest readings in one tick. values: by source, each a 1-D array.  channels: by source, a name for
    each value, or empty.  time_secs: since the run's start.
    """

    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    time_secs: float = 0.0


class Board:
    """has_readers: a sensor reads values, so that the loop posts them.  on_text: called with each text that a
    sensor posts, on its thread.
    """

    def __init__(self) -> None:
        self.has_readers = False
        self.on_text: Callable[[str, AnswerText], None] | None = None
        self._lock = threading.Lock()
        self._channels: dict[str, tuple[str, ...]] = {}
        self._posted = Posted()
        self._texts: dict[str, deque[AnswerText]] = {}
        self._notes: deque[tuple[str, str]] = deque(maxlen=MAX_WAITING)
        self._kept: dict[str, Any] = {}

    @property
    def posted(self) -> Posted:
        return self._posted

    def begin(self, channels: Mapping[str, tuple[str, ...]]) -> None:
        """The run's sources, and names for the values of each, or none."""
        self._channels = dict(channels)
        self._posted = Posted(channels=self._channels)

    def require(self, source: str, channel: str | int | None = None) -> None:
        """InputError for a source or a channel that the run does not have; nothing before `begin`."""
        if not self._channels:
            return
        if source not in self._channels:
            raise InputError(f"no source {source!r}: give one of {', '.join(sorted(self._channels))}")
        names = self._channels[source]
        if isinstance(channel, str) and channel not in names:
            raise InputError(
                f"no channel {channel!r} of {source!r}: give"
                f" {'one of ' + ', '.join(names) if names else 'a number, it has no names'}"
            )
        if isinstance(channel, int) and names and channel >= len(names):
            raise InputError(f"no channel {channel} of {source!r}: give 0 to {len(names) - 1}")

    def kept(self, source: str, make: Callable[[], KeptT]) -> KeptT:
        """What a source of the run leaves to its later instances; its first instance makes it."""
        with self._lock:
            if source not in self._kept:
                self._kept[source] = make()
            kept: KeptT = self._kept[source]
        return kept

    def post(self, values: Mapping[str, np.ndarray], time_secs: float) -> None:
        """One tick's newest readings, of the sources that have one. The arrays must not change later."""
        self._posted = Posted(values=values, channels=self._channels, time_secs=time_secs)

    def post_text(self, source: str, answer_text: AnswerText) -> None:
        with self._lock:
            self._texts.setdefault(source, deque(maxlen=MAX_WAITING)).append(answer_text)
        if self.on_text is not None:
            self.on_text(source, answer_text)

    def take(self, source: str, sequence: int) -> AnswerText | None:
        """The text of a reading; earlier ones of the source are dropped. None without one."""
        with self._lock:
            waiting = self._texts.get(source, deque())
            while waiting and waiting[0].sequence <= sequence:
                answer_text = waiting.popleft()
                if answer_text.sequence == sequence:
                    return answer_text
        return None

    def note(self, source: str, message: str) -> None:
        """Something that went wrong without a fault of the sensor; the loop makes it an event."""
        with self._lock:
            self._notes.append((source, message))

    def take_notes(self) -> Sequence[tuple[str, str]]:
        """(source, message) since the last call, oldest first."""
        if not self._notes:
            return ()
        with self._lock:
            notes = tuple(self._notes)
            self._notes.clear()
        return notes


def topic_of(observes: tuple[str, str], quantity: str) -> str | None:
    """The topic, "" without one; None for another quantity."""
    name, _, topic = observes[0].partition(":")
    return topic if name == quantity else None
