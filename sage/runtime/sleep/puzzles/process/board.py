"""What the loop and the trainer's process exchange beside mailboxes.

Invariant: as of StatusBlock, each word has one writer.
"""

from __future__ import annotations

from sage.mailbox.shared.memory.status_block import (
    FIRST_WORD,
    BoolWord,
    FloatWord,
    IntWord,
    StatusBlock,
    TextWord,
)

STARTING, RUNNING, FAILED = range(3)


class Board(StatusBlock):
    """Either end. The loop creates and unlinks; each process of the trainer attaches.

    Written by the trainer:
    num_steps: of practice.  loss: of the last step, NaN before the first.
    acknowledged: every experience of this run up to this number, from 1, is on the disk.
    problem: why experiences, memory or weights are not written to the disk now, "" when they are.
    night_under_way: number of the night that the trainer has begun, 0 without one.
    num_rounds: of the trainer's work, a step or a slice of a night each.

    Written by the loop:
    aborted: number of the newest night that the loop has ended.
    is_paused: the trainer practises no more for now.
    """

    KIND = 17
    ERROR_OFFSET = 3072

    num_steps = IntWord(FIRST_WORD + 3)
    loss = FloatWord(FIRST_WORD + 4)
    acknowledged = IntWord(FIRST_WORD + 5)
    night_under_way = IntWord(FIRST_WORD + 6)
    num_rounds = IntWord(FIRST_WORD + 7)
    aborted = IntWord(FIRST_WORD + 8)
    is_paused = BoolWord(FIRST_WORD + 9)
    _night = IntWord(FIRST_WORD + 10)
    _night_tick = IntWord(FIRST_WORD + 11)
    problem = TextWord(FIRST_WORD + 12, offset=1536, num_bytes=384)

    @property
    def night(self) -> tuple[int, int]:
        """Number, from 1, and tick of the newest night that the loop asked for; number 0 without one."""
        return self._night, self._night_tick

    def ask_for_night(self, number: int, tick: int) -> None:
        """The number last: a reader of it reads its tick."""
        self._night_tick = tick
        self._night = number
