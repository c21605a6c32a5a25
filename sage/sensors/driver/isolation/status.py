"""What a sensor's process and the loop exchange beside readings.

Invariant: as of StatusBlock, each word has one writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sage.mailbox.shared.memory.status_block import FIRST_WORD, FloatWord, IntWord, StatusBlock, TextWord

if TYPE_CHECKING:
    from typing_extensions import Self

STARTING, OPEN, EXHAUSTED, FAILED, REFUSED = range(5)

_COUNTS = FIRST_WORD + 4  # five of them
_HEALTH_OFFSET, _HEALTH_BYTES = 1536, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of one process, as its ledger has them."""

    dropped: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    flooded: int = 0


class SensorStatus(StatusBlock):
    """Either end. The loop creates and unlinks; the sensor's process attaches.

    num_calls: calls into the plug-in, begun and ended: odd while in one; written by the sensor's process.
    health: of the last reading, "" where nothing lowers its quality; written by the sensor's process.  trust:
    the loop's trust in the source, 0..1; written by the loop.
    """

    KIND = 16
    ERROR_OFFSET = _HEALTH_OFFSET + TextWord.NUM_TEXTS * _HEALTH_BYTES

    num_calls = IntWord(FIRST_WORD + 3)
    health = TextWord(_COUNTS + len(Counts.__slots__), _HEALTH_OFFSET, _HEALTH_BYTES)
    trust = FloatWord(_COUNTS + len(Counts.__slots__) + 1)

    @classmethod
    def create(cls, name: str) -> Self:
        """Trust is 1, all else 0."""
        block = super().create(name)
        block.trust = 1.0
        return block

    @property
    def counts(self) -> Counts:
        words = self.words[_COUNTS : _COUNTS + len(Counts.__slots__)]
        return Counts(**dict(zip(Counts.__slots__, words)))

    @counts.setter
    def counts(self, counts: Counts) -> None:
        for index, field in enumerate(Counts.__slots__, _COUNTS):
            self.words[index] = getattr(counts, field)
