"""The rules of a shared pool: lend, publish, take, release, demote.

Invariant: only waiting messages are dropped, and a slot is free only when no participant is to receive it,
holds it, or views its memory. Called with the pool's lock held; numba can compile it. The store of the state
word commits an operation. If the process dies before it, earlier stores have no effect: `take_back` clears
bits of dead participants, and the other words belong to a slot without a holder.
"""

# mypy: disable-error-code="no-any-return"
# numba infers the element types of the two views of the control memory; mypy does not
from __future__ import annotations

from typing import Any

from sage.mailbox.meta import BORROWED as IS_BORROWED
from sage.mailbox.meta import LOANED, PUBLISHED, RELEASING
from sage.mailbox.shared.focus.ending import (
    EXPIRED,
    LEAST_TRUSTED,
    NEWEST,
    NO_OWNER,
    NO_RECEIVER,
    OLDEST,
    OVER_SHARE,
    STALE_PUBLISH,
    SUPERSEDED,
    drop,
    drop_expired,
    retire,
    set_state,
    settle,
    unview,
)
from sage.mailbox.shared.focus.layout import (
    ACCOUNT,
    BORROW,
    BORROWED,
    CHECKSUM,
    DEADLINE_NS,
    DROPS,
    EACH,
    HIGH_WATER,
    LEAKS,
    LISTENERS,
    NO_CHECKSUM,
    ORDER,
    ORDER_OF,
    ORPHANS,
    PENDING,
    POLICY,
    POPPED,
    PRODUCER,
    PUSH_TO_POP,
    PUSHED,
    PUSHED_NS,
    QUALITY,
    QUOTA,
    RECEIVED_NS,
    RECEIVERS,
    REFERENCED,
    SEQUENCE,
    SLOT_WORDS,
    SPEC,
    STAMP_NS,
    STATE,
    TABLE,
    THREAD,
    TRUST,
    VIEWED,
)
from sage.mailbox.shared.focus.queue import (
    account_of,
    depth,
    end_of_table,
    freshest,
    held_by,
    is_for,
    last_freed,
    least_trusted,
    next_in_turn,
    oldest,
    queue_up,
)
from sage.mailbox.shared.memory.segment import IS_CLOSED

# Results below 0: the reason why there is no slot or no message; DEMOTE - place: push its summary first.
NOTHING, CLOSED, NO_SLOT, OVER_QUOTA, TRUSTED_LESS, STALE, DEMOTE = -1, -2, -3, -4, -5, -6, -16
#: Result of a compiled step: another process keeps the lock; nothing was done.
BUSY = -(1 << 62)
#: The result of a step that returns a slot: its place, and above these bits its generation.
PLACE_BITS = 16
PLACE = (1 << PLACE_BITS) - 1
DROP_OLDEST, DROP_LEAST_TRUSTED = 0, 4


def lend(
    words: Any,
    reals: Any,
    me: int,
    bit: int,
    thread: int,
    producer: int,
    trust: float,
    now_ns: int,
    may_drop: int,
    demotes: int,
    ended: int,
) -> int:
    """A slot for a loan, made free by the policy if necessary and `may_drop`; else the reason for refusal.

    ended: a slot whose last view in this process has ended, or -1.
    """
    if ended >= 0:
        unview(words, ended, bit)
    if words[IS_CLOSED] != 0:
        return CLOSED
    account = account_of(words, producer)
    if may_drop != 0:
        drop_expired(words, now_ns)
    while True:
        is_over = held_by(words, producer) >= words[QUOTA]
        at = -1 if is_over else last_freed(words)
        if at >= 0:
            words[at + PRODUCER], words[at + ACCOUNT], words[at + THREAD] = producer, account, thread
            words[at + CHECKSUM] = NO_CHECKSUM
            generation = ((words[at + STATE] >> 16) + 1) & 0xFFFFFFFF
            words[at + STATE] = generation << 16 | me << 8 | LOANED
            return at
        refusal = OVER_QUOTA if is_over else NO_SLOT
        if may_drop == 0:
            return refusal
        victim = victim_of(words, reals, producer if is_over else -1)
        if victim < 0:
            return refusal
        if words[POLICY] == DROP_LEAST_TRUSTED:
            if reals[victim + TRUST] > trust:
                return TRUSTED_LESS
            if demotes != 0:
                return demote(words, victim, me, bit)
            drop(words, victim, LEAST_TRUSTED)
        else:
            drop(words, victim, OLDEST)


def victim_of(words: Any, reals: Any, producer: int) -> int:
    """The waiting message that the policy drops (of one producer, or of all: -1), or -1."""
    if words[POLICY] == DROP_OLDEST:
        return oldest(words, producer, 0)
    if words[POLICY] == DROP_LEAST_TRUSTED:
        return least_trusted(words, reals, producer)
    return -1


def demote(words: Any, at: int, me: int, bit: int) -> int:
    """Drop it and mark it as viewed by the caller, which pushes its summary and then calls `unview`."""
    words[words[at + ACCOUNT] + DROPS + LEAST_TRUSTED] += 1
    if words[at + VIEWED] != 0:
        words[LEAKS] += 1
    words[at + VIEWED] |= bit
    words[at + PENDING] = 0
    set_state(words, at, RELEASING, me)
    return DEMOTE - at


def refuse(words: Any, producer: int, answer: int) -> int:
    """Count a refused loan or a stale publish."""
    reason = NEWEST
    if answer == OVER_QUOTA:
        reason = OVER_SHARE
    elif answer == TRUSTED_LESS:
        reason = LEAST_TRUSTED
    elif answer == STALE:
        reason = STALE_PUBLISH
    words[account_of(words, producer) + DROPS + reason] += 1
    return answer


def publish(
    words: Any,
    reals: Any,
    at: int,
    generation: int,
    me: int,
    viewed: int,
    stamp_ns: int,
    sequence: int,
    trust: float,
    quality: float,
    deadline_ns: int,
    now_ns: int,
    checksum: int,
) -> int:
    """End a loan with a message.  viewed: the writer's bit if a view of it exists, else 0."""
    if not is_loaned(words, at, generation, me):
        return STALE
    if words[IS_CLOSED] != 0:
        give_up(words, at, viewed)
        return CLOSED
    words[at + STAMP_NS], words[at + SEQUENCE], words[at + DEADLINE_NS] = stamp_ns, sequence, deadline_ns
    reals[at + TRUST], reals[at + QUALITY] = trust, quality
    words[at + PUSHED_NS], words[at + CHECKSUM] = now_ns, checksum
    words[at + VIEWED] |= viewed
    words[words[at + ACCOUNT] + PUSHED] += 1
    words[ORDER] += 1
    words[at + ORDER_OF] = words[ORDER]
    if words[RECEIVERS] == EACH:
        if words[LISTENERS] == 0:
            drop(words, at, NO_RECEIVER)
            return at
        words[at + PENDING] = words[LISTENERS]
    queue_up(words, reals, words[at + ACCOUNT])
    set_state(words, at, PUBLISHED, NO_OWNER)
    words[HIGH_WATER] = max(words[HIGH_WATER], depth(words))
    return at


def is_loaned(words: Any, at: int, generation: int, me: int) -> bool:
    return words[at + STATE] == generation << 16 | me << 8 | LOANED


def give_up(words: Any, at: int, viewed: int) -> None:
    """End a loan without a message."""
    words[at + VIEWED] |= viewed
    retire(words, at)


def discard(words: Any, at: int, generation: int, me: int, viewed: int) -> int:
    if not is_loaned(words, at, generation, me):
        return STALE
    give_up(words, at, viewed)
    return at


def take(words: Any, reals: Any, me: int, bit: int, thread: int, now_ns: int, newest: int, ended: int) -> int:
    """The next message, now on lease to `me`.  ended: as for `lend`."""
    if ended >= 0:
        unview(words, ended, bit)
    if words[IS_CLOSED] != 0:
        return CLOSED
    wanted = 0
    if words[RECEIVERS] == EACH:
        words[LISTENERS] |= bit
        wanted = bit
    if newest != 0:
        supersede_older(words, now_ns, wanted)
    at = oldest(words, -1, wanted) if wanted != 0 else next_in_turn(words, reals)
    while at >= 0 and words[at + DEADLINE_NS] <= now_ns:
        drop(words, at, EXPIRED)
        at = oldest(words, -1, wanted) if wanted != 0 else next_in_turn(words, reals)
    if at < 0:
        return NOTHING
    words[at + THREAD], words[at + RECEIVED_NS] = thread, now_ns
    words[POPPED] += 1
    words[REFERENCED] += words[at + SPEC]
    count_duration(words, PUSH_TO_POP, now_ns - words[at + PUSHED_NS])
    words[at + BORROWED] |= bit
    words[at + PENDING] &= ~wanted
    set_state(words, at, IS_BORROWED, me)
    return at


def supersede_older(words: Any, now_ns: int, wanted: int) -> None:
    """Drop all waiting messages except the freshest, as superseded."""
    drop_expired(words, now_ns)
    newest = freshest(words, wanted)
    for at in range(TABLE, end_of_table(words), SLOT_WORDS):
        if at != newest and is_for(words, at, wanted):
            if words[at + PENDING] != wanted:  # other receivers have not received it yet
                words[words[at + ACCOUNT] + DROPS + SUPERSEDED] += 1
                words[at + PENDING] &= ~wanted
            else:
                drop(words, at, SUPERSEDED)


def release(
    words: Any,
    reals: Any,
    at: int,
    generation: int,
    bit: int,
    viewed: int,
    now_ns: int,
    received_ns: int,
    is_orphan: int,
) -> int:
    """End a lease.  viewed: its holder's bit if a view of it exists, else 0."""
    if words[at + STATE] >> 16 != generation or words[at + BORROWED] & bit == 0:
        return STALE
    if is_orphan != 0:
        words[ORPHANS] += 1
    else:
        count_duration(words, BORROW, now_ns - received_ns)
    words[at + VIEWED] |= viewed
    words[at + BORROWED] &= ~bit
    settle(words, at)
    return at


def abandon(words: Any, at: int, generation: int, me: int, viewed: int) -> int:
    """End a loan that was dropped without an end."""
    if not is_loaned(words, at, generation, me):
        return STALE
    words[ORPHANS] += 1
    give_up(words, at, viewed)
    return at


def count_duration(words: Any, histogram: int, duration_ns: int) -> None:
    """Add to the buckets of `LatencyHistogram`, four per doubling."""
    octave = 0
    duration_ns = max(duration_ns, 0)
    while duration_ns >> octave >= 8:
        octave += 1
    words[histogram + (octave << 2) + (duration_ns >> octave)] += 1
