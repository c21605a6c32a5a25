"""The words of shared memory that a sensor's process and the loop exchange beside readings.

Invariant: each word has one writer and is written whole, so that the other side never waits and never reads
half of one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sage.mailbox.shared.memory.participants import OWN_OFFSET
from sage.mailbox.shared.memory.segment import HEADER_BYTES, Layout, Segment

#: Of the segment: mailboxes have small numbers.
KIND = 16
STARTING, OPEN, EXHAUSTED, FAILED, REFUSED = range(5)

#: Behind the table of participants, of which it has none.
_FIRST = OWN_OFFSET // 8
# Written by the sensor's process.
_STATE, _NUM_CALLS, _DROPPED, _LATE, _DUPLICATE, _REORDERED, _FLOODED, _ERROR_LENGTH = range(
    _FIRST, _FIRST + 8
)
_NUM_HEALTHS = _FIRST + 10
# Written by the loop.
_STOP, _TRUST = range(_FIRST + 8, _FIRST + 10)
#: Texts of the health, in turn, so that the one that is read is not the one that is written.
_HEALTH_OFFSET, _HEALTH_BYTES, _HEALTH_TEXTS = 1536, 128, 4
_ERROR_OFFSET = _HEALTH_OFFSET + _HEALTH_TEXTS * _HEALTH_BYTES
_MAX_ERROR_BYTES = HEADER_BYTES - _ERROR_OFFSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of one process, as its ledger has them."""

    dropped: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    flooded: int = 0


class StatusBlock:
    """Either end of it. The loop creates and unlinks; the process attaches."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words

    @classmethod
    def create(cls, name: str) -> StatusBlock:
        block = cls(Segment.create(name, Layout(kind=KIND, num_bytes=HEADER_BYTES, options={})))
        block.trust = 1.0
        return block

    @classmethod
    def attach(cls, name: str) -> StatusBlock:
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
    def num_calls(self) -> int:
        """Calls into the plug-in, begun and ended: odd while in one."""
        return self._words[_NUM_CALLS]

    @num_calls.setter
    def num_calls(self, value: int) -> None:
        self._words[_NUM_CALLS] = value

    @property
    def counts(self) -> Counts:
        return Counts(**dict(zip(Counts.__slots__, self._words[_DROPPED : _FLOODED + 1])))

    @counts.setter
    def counts(self, counts: Counts) -> None:
        for index, field in enumerate(Counts.__slots__):
            self._words[_DROPPED + index] = getattr(counts, field)

    @property
    def must_stop(self) -> bool:
        return bool(self._words[_STOP])

    def stop(self) -> None:
        self._words[_STOP] = 1

    @property
    def trust(self) -> float:
        """The loop's trust in the source, 0..1."""
        value: float = struct.unpack("<d", struct.pack("<q", self._words[_TRUST]))[0]
        return value

    @trust.setter
    def trust(self, value: float) -> None:
        self._words[_TRUST] = struct.unpack("<q", struct.pack("<d", value))[0]

    @property
    def health(self) -> str:
        """Of the last reading, "" where nothing lowers its quality."""
        first = self._health_offset(self._words[_NUM_HEALTHS])
        text = bytes(self._segment.memory[first : first + _HEALTH_BYTES])
        return text.rstrip(b"\0").decode("utf-8", "ignore")

    @health.setter
    def health(self, text: str) -> None:
        if text == self.health:
            return
        num = self._words[_NUM_HEALTHS] + 1
        first = self._health_offset(num)
        cut = text.encode()[:_HEALTH_BYTES]
        self._segment.memory[first : first + _HEALTH_BYTES] = cut.ljust(_HEALTH_BYTES, b"\0")
        self._words[_NUM_HEALTHS] = num

    @staticmethod
    def _health_offset(num: int) -> int:
        return _HEALTH_OFFSET + num % _HEALTH_TEXTS * _HEALTH_BYTES

    @property
    def error(self) -> str:
        length = self._words[_ERROR_LENGTH]
        return bytes(self._segment.memory[_ERROR_OFFSET : _ERROR_OFFSET + length]).decode("utf-8", "replace")

    def fail(self, message: str, *, is_refused: bool = False) -> None:
        """The text first, then its length, then the state: a reader of FAILED reads all of it.

        is_refused: the configuration is wrong, not the device.
        """
        text = message.encode()[:_MAX_ERROR_BYTES]
        self._segment.memory[_ERROR_OFFSET : _ERROR_OFFSET + len(text)] = text
        self._words[_ERROR_LENGTH] = len(text)
        self.state = REFUSED if is_refused else FAILED

    def close(self) -> None:
        self._segment.close()

    def unlink(self) -> None:
        self._segment.unlink()
