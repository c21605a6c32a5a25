"""The words of shared memory that the loop and the trainer's process exchange beside mailboxes.

Invariant: each word has one writer and is written whole, so that no side waits.
"""

from __future__ import annotations

import struct

from sage.mailbox.shared.memory.participants import OWN_OFFSET
from sage.mailbox.shared.memory.segment import HEADER_BYTES, Layout, Segment

#: Of the segment: mailboxes have small numbers, an isolated sensor's block has 16.
KIND = 17
STARTING, RUNNING, FAILED = range(3)
_FIRST = OWN_OFFSET // 8
# Written by the trainer.
_STATE, _NUM_STEPS, _LOSS, _ACKNOWLEDGED, _NIGHT_UNDER_WAY, _ERROR_LENGTH = range(_FIRST, _FIRST + 6)
# Written by the loop.
_STOP, _NIGHT, _NIGHT_TICK, _ABORTED, _PAUSED = range(_FIRST + 8, _FIRST + 13)
_ERROR_OFFSET = 2048
_MAX_ERROR_BYTES = HEADER_BYTES - _ERROR_OFFSET


class Board:
    """Either end. The loop creates and unlinks; each process of the trainer attaches."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words

    @classmethod
    def create(cls, name: str) -> Board:
        return cls(Segment.create(name, Layout(kind=KIND, num_bytes=HEADER_BYTES, options={})))

    @classmethod
    def attach(cls, name: str) -> Board:
        return cls(Segment.attach(name, kind=KIND))

    @property
    def name(self) -> str:
        return self._segment.name

    @property
    def state(self) -> int:
        return self._words[_STATE]

    @state.setter
    def state(self, value: int) -> None:
        self._words[_STATE] = value

    @property
    def num_steps(self) -> int:
        return self._words[_NUM_STEPS]

    @property
    def loss(self) -> float:
        """Of the last step, NaN before the first."""
        value: float = struct.unpack("<d", struct.pack("<q", self._words[_LOSS]))[0]
        return value

    def report(self, *, num_steps: int, loss: float) -> None:
        self._words[_NUM_STEPS] = num_steps
        self._words[_LOSS] = struct.unpack("<q", struct.pack("<d", loss))[0]

    @property
    def acknowledged(self) -> int:
        """Every experience of this run up to this number, from 1, is on the disk."""
        return self._words[_ACKNOWLEDGED]

    @acknowledged.setter
    def acknowledged(self, value: int) -> None:
        self._words[_ACKNOWLEDGED] = value

    @property
    def night_under_way(self) -> int:
        """Number of the night that the trainer has begun, 0 without one."""
        return self._words[_NIGHT_UNDER_WAY]

    @night_under_way.setter
    def night_under_way(self, value: int) -> None:
        self._words[_NIGHT_UNDER_WAY] = value

    @property
    def night(self) -> tuple[int, int]:
        """Number, from 1, and tick of the newest night that the loop asked for; number 0 without one."""
        return self._words[_NIGHT], self._words[_NIGHT_TICK]

    def ask_for_night(self, number: int, tick: int) -> None:
        self._words[_NIGHT_TICK] = tick
        self._words[_NIGHT] = number

    @property
    def aborted(self) -> int:
        """Number of the newest night that the loop has ended."""
        return self._words[_ABORTED]

    @aborted.setter
    def aborted(self, value: int) -> None:
        self._words[_ABORTED] = value

    @property
    def is_paused(self) -> bool:
        """Whether the trainer practises no more for now."""
        return bool(self._words[_PAUSED])

    @is_paused.setter
    def is_paused(self, value: bool) -> None:
        self._words[_PAUSED] = int(value)

    @property
    def must_stop(self) -> bool:
        return bool(self._words[_STOP])

    def stop(self) -> None:
        self._words[_STOP] = 1

    @property
    def error(self) -> str:
        length = self._words[_ERROR_LENGTH]
        return bytes(self._segment.memory[_ERROR_OFFSET : _ERROR_OFFSET + length]).decode("utf-8", "replace")

    def fail(self, message: str) -> None:
        """The text, then its length, then the state: a reader of FAILED reads all of it."""
        text = message.encode()[:_MAX_ERROR_BYTES]
        self._segment.memory[_ERROR_OFFSET : _ERROR_OFFSET + len(text)] = text
        self._words[_ERROR_LENGTH] = len(text)
        self.state = FAILED

    def close(self) -> None:
        self._segment.close()

    def unlink(self) -> None:
        self._segment.unlink()
