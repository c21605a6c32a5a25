"""How a slot of a shared pool is freed: dropped, released by its last holder, or taken back from a dead
process.

Invariant: a slot is free only when no participant is to receive it, holds it, or views its memory. Called
with the pool's lock held; numba can compile it. If a process dies between two stores, `take_back` clears its
bits and settles the state; running it twice has no further effect.
"""

# mypy: disable-error-code="no-any-return"
# numba infers the element types of the two views of the control memory; mypy does not
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
NO_OWNER = 0xFF


def settle(words: Any, at: int) -> None:
    """Set the state that follows from the bits of a published slot."""
    if words[at + BORROWED] != 0:
        return
    if words[at + PENDING] != 0:
        set_state(words, at, PUBLISHED, NO_OWNER)
    elif words[at + STATE] & 0xFF == RELEASING:
        if words[at + VIEWED] == 0:
            free(words, at)
    else:
        retire(words, at)


def retire(words: Any, at: int) -> None:
    """End its message: free it now, or set it RELEASING until no view exists."""
    words[at + PENDING] = 0
    if words[at + BORROWED] != 0:
        return  # its holders keep it
    if words[at + VIEWED] == 0:
        free(words, at)
    else:
        words[LEAKS] += 1
        set_state(words, at, RELEASING, NO_OWNER)


def drop(words: Any, at: int, reason: int) -> None:
    words[words[at + ACCOUNT] + DROPS + reason] += 1
    retire(words, at)


def drop_expired(words: Any, now_ns: int) -> None:
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if is_published(words, at) and words[at + DEADLINE_NS] <= now_ns:
            drop(words, at, EXPIRED)


def unview(words: Any, at: int, bit: int) -> int:
    """The last view of a participant has ended."""
    words[at + VIEWED] &= ~bit
    if words[at + STATE] & 0xFF == RELEASING:
        settle(words, at)
    return at


def take_back(words: Any, gone: int, bit: int) -> int:
    """Take back everything of a participant that left or died: loans, leases, views, undelivered messages.

    Returns the number of loans and leases.
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
        close_all(words)  # it may have died inside close_all
    return num_orphans


def stop_listening(words: Any, bit: int) -> int:
    """No further message is for this participant; its leases stay open."""
    words[LISTENERS] &= ~bit
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if words[at + PENDING] & bit != 0:
            words[at + PENDING] &= ~bit
            tidy(words, at)
    return 0


def tidy(words: Any, at: int) -> None:
    """Settle a slot after a process may have died between two stores. A waiting message for one receiver
    has no bits and is kept.
    """
    state = words[at + STATE] & 0xFF
    if state in (IS_BORROWED, RELEASING) or (state == PUBLISHED and words[RECEIVERS] == EACH):
        settle(words, at)


def reclaim(words: Any, at: int, word: int, viewed: int) -> int:
    """Take back a loan of a living owner if its state word is still `word`; returns 1, or 0 if not.

    viewed: the owner's bit if views of it may exist.
    """
    if words[at + STATE] != word:
        return 0
    words[ORPHANS] += 1
    words[at + VIEWED] |= viewed
    retire(words, at)
    return 1


def close_all(words: Any) -> int:
    """Close the mailbox: drop all waiting messages."""
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
    set_state(words, at, FREE, NO_OWNER)


def set_state(words: Any, at: int, state: int, owner: int) -> None:
    words[at + STATE] = words[at + STATE] >> 16 << 16 | owner << 8 | state
