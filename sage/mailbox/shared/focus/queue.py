"""Which waiting message of a shared pool is next, and which one a policy drops: scans of the slot table.

Invariant: the same order as `sage.mailbox.local.fair_queue`: first in, first out by producer, deficit round
robin between producers with trust as the quantum. Called with the pool's lock held; numba can compile it:
words are int64, reals float64.
"""

# mypy: disable-error-code="no-any-return"
# numba infers the element types of the two views of the control memory; mypy does not
from __future__ import annotations

from typing import Any

from sage.mailbox.meta import FREE, PUBLISHED
from sage.mailbox.options import ROUNDS_WITHOUT_TRUST
from sage.mailbox.shared.focus.layout import (
    ACCOUNT,
    ACCOUNT_TURN,
    ACCOUNT_WORDS,
    ACCOUNTS,
    BORROWED,
    DEFICIT,
    DROPS,
    FREED_AT,
    NAME,
    NUM_ACCOUNTS,
    ORDER_OF,
    PENDING,
    PRODUCER,
    PUSHED,
    REST,
    SLOT_WORDS,
    SLOTS,
    STAMP_NS,
    STATE,
    TABLE,
    TRUST,
    TURN,
)

NUM_REASONS = 9
_LEAST_QUANTUM = 1.0 / ROUNDS_WITHOUT_TRUST


def end_of_table(words: Any) -> int:
    return TABLE + words[SLOTS] * SLOT_WORDS


def is_published(words: Any, at: int) -> bool:
    """Whether it waits and no receiver has it: it may be dropped."""
    return words[at + STATE] & 0xFF == PUBLISHED


def is_for(words: Any, at: int, bit: int) -> bool:
    """Whether it waits: for any receiver (bit 0), or for this participant."""
    return words[at + PENDING] & bit != 0 if bit != 0 else is_published(words, at)


def held_by(words: Any, producer: int) -> int:
    """The number of slots in use by this producer."""
    num_held = 0
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + PRODUCER] == producer and words[at + STATE] & 0xFF != FREE:
            num_held += 1
    return num_held


def last_freed(words: Any) -> int:
    """The slot that was freed last (its memory is in caches); -1 if none is free."""
    found = -1
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + STATE] & 0xFF == FREE and (found < 0 or words[at + FREED_AT] > words[found + FREED_AT]):
            found = at
    return found


def account_of(words: Any, producer: int) -> int:
    """The place of the producer's account, created on first use; if all are in use, an old one is reused."""
    for at in range(ACCOUNTS, ACCOUNTS + NUM_ACCOUNTS * ACCOUNT_WORDS, ACCOUNT_WORDS):
        if words[at + NAME] == producer + 1:
            return at
        if words[at + NAME] == 0:
            words[at + NAME] = producer + 1
            return at
    return _reused_account(words, producer)


def _reused_account(words: Any, producer: int) -> int:
    """There are more accounts than slots, so that one holds no slot. Its counts are added to REST."""
    for at in range(ACCOUNTS, ACCOUNTS + NUM_ACCOUNTS * ACCOUNT_WORDS, ACCOUNT_WORDS):
        if held_by(words, words[at + NAME] - 1) == 0:
            for offset in range(PUSHED, DROPS + NUM_REASONS):
                words[REST + offset] += words[at + offset]
                words[at + offset] = 0
            words[at + NAME] = producer + 1
            return at
    return ACCOUNTS


def queue_up(words: Any, reals: Any, account: int) -> None:
    """Called before a message waits: a producer without waiting messages joins the end of the round."""
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + ACCOUNT] == account and is_published(words, at):
            return
    words[account + ACCOUNT_TURN] = words[TURN]
    words[TURN] += 1
    reals[account + DEFICIT] = 0.0


def next_in_turn(words: Any, reals: Any) -> int:
    """The next message, or -1."""
    while True:
        first = -1
        has_others = False
        for at in range(TABLE, end_of_table(words), SLOT_WORDS):
            if not is_published(words, at):
                continue
            if first < 0:
                first = at
            elif words[at + ACCOUNT] == words[first + ACCOUNT]:
                if words[at + ORDER_OF] < words[first + ORDER_OF]:
                    first = at
            else:
                has_others = True
                if words[words[at + ACCOUNT] + ACCOUNT_TURN] < words[words[first + ACCOUNT] + ACCOUNT_TURN]:
                    first = at
        if first < 0 or not has_others:
            return first
        account = words[first + ACCOUNT]
        reals[account + DEFICIT] += max(reals[first + TRUST], _LEAST_QUANTUM)
        words[account + ACCOUNT_TURN] = words[TURN]
        words[TURN] += 1
        if reals[account + DEFICIT] >= 1.0:
            reals[account + DEFICIT] -= 1.0
            return first


def oldest(words: Any, producer: int, bit: int) -> int:
    """The first published of the waiting messages (`is_for`), of one producer or of all (-1); -1 if there
    is none.
    """
    found = -1
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if not is_for(words, at, bit) or (producer >= 0 and words[at + PRODUCER] != producer):
            continue
        if found < 0 or words[at + ORDER_OF] < words[found + ORDER_OF]:
            found = at
    return found


def least_trusted(words: Any, reals: Any, producer: int) -> int:
    """The waiting message with the lowest trust, the older of equals."""
    found = -1
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if not is_published(words, at) or (producer >= 0 and words[at + PRODUCER] != producer):
            continue
        if (
            found < 0
            or reals[at + TRUST] < reals[found + TRUST]
            or (reals[at + TRUST] == reals[found + TRUST] and words[at + ORDER_OF] < words[found + ORDER_OF])
        ):
            found = at
    return found


def freshest(words: Any, bit: int) -> int:
    """The waiting message with the latest stamp, the later published of equals."""
    found = -1
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if not is_for(words, at, bit):
            continue
        if (
            found < 0
            or words[at + STAMP_NS] > words[found + STAMP_NS]
            or (
                words[at + STAMP_NS] == words[found + STAMP_NS]
                and words[at + ORDER_OF] > words[found + ORDER_OF]
            )
        ):
            found = at
    return found


def depth(words: Any) -> int:
    """The number of messages that some receiver has not received yet."""
    num_waiting = 0
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if is_published(words, at) or (words[at + PENDING] != 0 and words[at + BORROWED] != 0):
            num_waiting += 1
    return num_waiting
