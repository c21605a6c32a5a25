"""How a slot of a shared pool comes back: dropped, released by the last who had it, given up by the dead.

Invariant: a slot is free only when no participant is to get it, has it, or sees its memory. Called with the
pool's lock held; plain Python that numba can compile. Whoever dies between two stores leaves bits that
`take_back` clears, and a state
that it settles: running it twice does no harm.
"""

# mypy: disable-error-code="no-any-return"
# what the two views of the control memory hold is known to numba, not to mypy
from __future__ import annotations

from typing import Any

from sage.mailbox.meta import BORROWED as IS_BORROWED
from sage.mailbox.meta import FREE, LOANED, PUBLISHED, RELEASING
from sage.mailbox.shared.focus.layout import (
    ACCOUNT,
    BORROWED,
    DEADLINE_NS,
    DROPS,
    EACH,
    FREED,
    FREED_AT,
    LEAKS,
    LISTENERS,
    ORPHANS,
    PENDING,
    RECEIVERS,
    SLOT_WORDS,
    STATE,
    TABLE,
    VIEWED,
)
from sage.mailbox.shared.focus.queue import end_of_table, is_published
from sage.mailbox.shared.memory.segment import IS_CLOSED

#: Drop reasons, in the order of the fields of DropCounts.
OLDEST, NEWEST, LEAST_TRUSTED, OVER_SHARE, EXPIRED, SUPERSEDED, STALE_PUBLISH, AT_CLOSING, NO_RECEIVER = (
    range(9)
)
NOBODY = 0xFF


def settle(words: Any, at: int) -> None:
    """The state that follows from the bits of a slot that was published once."""
    if words[at + BORROWED] != 0:
        return
    if words[at + PENDING] != 0:
        set_state(words, at, PUBLISHED, NOBODY)
    elif words[at + STATE] & 0xFF == RELEASING:
        if words[at + VIEWED] == 0:
            free(words, at)
    else:
        retire(words, at)


def retire(words: Any, at: int) -> None:
    """Its message is over: free now, or releasing until nobody sees the memory."""
    words[at + PENDING] = 0
    if words[at + BORROWED] != 0:
        return  # who has it goes on
    if words[at + VIEWED] == 0:
        free(words, at)
    else:
        words[LEAKS] += 1
        set_state(words, at, RELEASING, NOBODY)


def drop(words: Any, at: int, reason: int) -> None:
    words[words[at + ACCOUNT] + DROPS + reason] += 1
    retire(words, at)


def drop_expired(words: Any, now_ns: int) -> None:
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if is_published(words, at) and words[at + DEADLINE_NS] <= now_ns:
            drop(words, at, EXPIRED)


def unview(words: Any, at: int, bit: int) -> int:
    """The last view that a participant kept is gone."""
    words[at + VIEWED] &= ~bit
    if words[at + STATE] & 0xFF == RELEASING:
        settle(words, at)
    return at


def take_back(words: Any, gone: int, bit: int) -> int:
    """Everything of a participant that left or died: its loans, leases, views, and what it was to get. How
    many.
    """
    num_orphans = 0
    words[LISTENERS] &= ~bit
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + STATE] & 0xFFFF == gone << 8 | LOANED:
            num_orphans += 1
            words[at + VIEWED] &= ~bit
            retire(words, at)
        elif words[at + STATE] & 0xFF != LOANED:
            if words[at + BORROWED] & bit != 0:
                num_orphans += 1
            words[at + PENDING] &= ~bit
            words[at + BORROWED] &= ~bit
            words[at + VIEWED] &= ~bit
            tidy(words, at)
    words[ORPHANS] += num_orphans
    if words[IS_CLOSED] != 0:
        close_all(words)  # it may have died in the middle of that
    return num_orphans


def stop_listening(words: Any, bit: int) -> int:
    """Nothing is for this participant any longer; what it has, it keeps."""
    words[LISTENERS] &= ~bit
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + PENDING] & bit != 0:
            words[at + PENDING] &= ~bit
            tidy(words, at)
    return 0


def tidy(words: Any, at: int) -> None:
    """Settle what somebody left between two stores. A message for anybody that waits has no bits, and
    stays.
    """
    state = words[at + STATE] & 0xFF
    if state in (IS_BORROWED, RELEASING) or (state == PUBLISHED and words[RECEIVERS] == EACH):
        settle(words, at)


def reclaim(words: Any, at: int, word: int, viewed: int) -> int:
    """Take back a loan whose state word was seen, from a living owner; how many. viewed: its bit if it may
    still look.
    """
    if words[at + STATE] != word:
        return 0
    words[ORPHANS] += 1
    words[at + VIEWED] |= viewed
    retire(words, at)
    return 1


def close_all(words: Any) -> int:
    """No message waits any longer, none comes."""
    words[IS_CLOSED] = 1
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if is_published(words, at):
            drop(words, at, AT_CLOSING)
        elif words[at + STATE] & 0xFF == IS_BORROWED:
            words[at + PENDING] = 0
    return 0


def free(words: Any, at: int) -> None:
    words[FREED] += 1
    words[at + FREED_AT] = words[FREED]
    set_state(words, at, FREE, NOBODY)


def set_state(words: Any, at: int, state: int, owner: int) -> None:
    words[at + STATE] = words[at + STATE] >> 16 << 16 | owner << 8 | state
