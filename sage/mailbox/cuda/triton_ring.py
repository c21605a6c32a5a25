"""Push records from a user's Triton kernel. Importing this loads Triton.

Triton's atomics have acquire and release, but there is no fence: so each word of the payload is a release
exchange after the state word's (W1 before W3 of ring.cu), which is slower than ring.cu's 16 bytes per lane.
Use it for a few records per kernel. Invariant: ring.cu's pop reads these records like any others.
"""

from __future__ import annotations

import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]

HEADER_WORDS = tl.constexpr(16)  # of 4 bytes
_STATES = tl.constexpr(32)  # of 8 bytes, from the start of the ring


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def ring_push_record(ring, words, CAPACITY: tl.constexpr, RECORD_WORDS: tl.constexpr):  # type: ignore[no-untyped-def,unused-ignore]
    """Push one record with the whole program; 1 if it was written, 0 if it was skipped (the record a lap
    earlier is not complete).

    ring: pointer to int64, a lossy ring's memory.  words: (RECORD_WORDS,) int32, the record; RECORD_WORDS is
    32 or 64.
    """
    ticket = tl.atomic_add(ring, 1, sem="relaxed", scope="gpu")
    mine = 2 * ticket + 1
    at = ticket & (CAPACITY - 1)
    state = ring + _STATES + at
    seen = tl.atomic_add(state, 0, sem="relaxed", scope="gpu")
    is_mine = 0
    while (seen < mine) & ((seen & 1) == 0):
        old = tl.atomic_cas(state, seen, mine, sem="acquire", scope="gpu")  # W1
        if old == seen:
            is_mine = 1
            seen = mine
        else:
            seen = old
    if is_mine == 1:
        tl.debug_barrier()
        _write(ring, words, ticket, at, CAPACITY, RECORD_WORDS)
        tl.debug_barrier()
        tl.atomic_xchg(state, mine + 1, sem="release", scope="gpu")  # W4
    elif seen < mine:
        tl.atomic_max(state + CAPACITY, ticket + 1, sem="release", scope="gpu")
        tl.atomic_add(ring + 2, 1, sem="relaxed", scope="gpu")
    return is_mine


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _write(ring, words, ticket, at, CAPACITY: tl.constexpr, RECORD_WORDS: tl.constexpr):  # type: ignore[no-untyped-def,unused-ignore]
    place = tl.arange(0, RECORD_WORDS)
    room = (RECORD_WORDS - HEADER_WORDS) * 4
    length = tl.sum(tl.where(place == 6, words, 0), 0)
    length = tl.where((length < 0) | (length > room), room, length)  # as unsigned: a negative value is large
    lap = (ticket // CAPACITY + 1).to(tl.int32)
    words = tl.where(place == 6, length, tl.where(place == 7, lap, words))
    num_kept = tl.minimum(tl.maximum(length - (place - HEADER_WORDS) * 4, 0), 4)  # bytes of this word
    mask = tl.where(num_kept >= 4, -1, (1 << (8 * tl.minimum(num_kept, 3))) - 1)
    words = tl.where(place < HEADER_WORDS, words, words & mask)
    start = (256 + 16 * CAPACITY + 127) // 128 * 32 + at * RECORD_WORDS  # in words of 4 bytes
    target = ring.to(tl.pointer_type(tl.int32)) + start + place
    tl.atomic_xchg(target, words, sem="release", scope="gpu")  # W2 and W3
