"""The frequent steps of a shared pool, each one compiled call: lock, rule, unlock, wake; and the wait.
Imports numba.

Invariant: no Python runs between lock and unlock, hence no signal handler, no thread switch and no garbage
collector. Only the wait releases the GIL, and it holds nothing.
"""

# mypy: disable-error-code="no-any-return"
# numba infers the element types of the two views of the control memory; mypy does not
from __future__ import annotations

import errno
import types
from typing import Any

import numba
from numba import carray  # type: ignore[attr-defined]
from numba.core.types import ExternalFunction
from numba.extending import register_jitable

from sage.compiled import bound, kernel
from sage.mailbox.shared.focus import ending as focus_ending
from sage.mailbox.shared.focus import queue as focus_queue
from sage.mailbox.shared.focus import rules as focus_rules
from sage.mailbox.shared.focus.layout import (
    ARRIVALS_FLAG,
    CONTROL_WORDS,
    FREED,
    ORDER,
    ROOM_FLAG,
    SPEC,
    SPEC_WORDS,
    STATE,
)
from sage.mailbox.shared.focus.rules import BUSY, PLACE_BITS, lend, publish, release, take
from sage.mailbox.shared.memory import atomics
from sage.mailbox.shared.memory.atomics import ring_bell
from sage.mailbox.shared.memory.participants import MUTEX_OFFSET
from sage.mailbox.shared.memory.segment import IS_CLOSED
from sage.mailbox.shared.memory.words import (
    copy_bytes,
    fence_full,
    load_acquire,
    monotonic_ns,
    pause,
    store_relaxed,
)

_OWNERDEAD = errno.EOWNERDEAD
_NUM_CHECKS = 64  # reads of the counter between two reads of the clock, 1 to 4 us
_TRIES = 50  # about 5 us: longer than a running owner keeps the lock

_trylock: Any = ExternalFunction("pthread_mutex_trylock", numba.int32(numba.int64))
_consistent: Any = ExternalFunction("pthread_mutex_consistent", numba.int32(numba.int64))
_unlock: Any = ExternalFunction("pthread_mutex_unlock", numba.int32(numba.int64))

# Any: mypy sees uncompiled functions
_load32: Any = atomics.load32
_futex_wait: Any = atomics.futex_wait
_integers_at: Any = atomics.integers_at
_reals_at: Any = atomics.reals_at

for module in (focus_queue, focus_ending, focus_rules):
    for function in tuple(vars(module).values()):
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
            register_jitable(function)


@register_jitable
def _words(base: int) -> Any:
    return carray(_integers_at(base), (CONTROL_WORDS,))


@register_jitable
def _reals(base: int) -> Any:
    return carray(_reals_at(base), (CONTROL_WORDS,))


@register_jitable
def _is_locked(base: int) -> bool:
    lock = base + MUTEX_OFFSET
    for _ in range(_TRIES):
        code = _trylock(lock)
        if code == 0:
            return True
        if code == _OWNERDEAD:  # the table is valid after every store: nothing to repair
            _consistent(lock)
            return True
    return False


@register_jitable
def _leave(base: int, num_published: int, num_freed: int) -> None:
    """Unlock, then wake waiters. A waiter sets its flag, then checks; this changes, then checks the flag."""
    words = _words(base)
    has_published, has_freed = words[ORDER] != num_published, words[FREED] != num_freed
    _unlock(base + MUTEX_OFFSET)
    if has_published or has_freed:
        fence_full()
        if has_published:
            ring_bell(base + 8 * ARRIVALS_FLAG)
        if has_freed:
            ring_bell(base + 8 * ROOM_FLAG)


@register_jitable
def _tagged(words: Any, at: int) -> int:
    """Place and generation of a slot; or the reason why there is none."""
    return at if at < 0 else words[at + STATE] >> 16 << PLACE_BITS | at


def _lend(
    base: int,
    me: int,
    bit: int,
    thread: int,
    producer: int,
    trust: float,
    now_ns: int,
    may_drop: int,
    demotes: int,
    ended: int,
    spec_at: int,
) -> int:
    if not _is_locked(base):
        return BUSY
    words = _words(base)
    num_published, num_freed = words[ORDER], words[FREED]
    at = lend(words, _reals(base), me, bit, thread, producer, trust, now_ns, may_drop, demotes, ended)
    if at >= 0:
        copy_bytes(base + 8 * (at + SPEC), spec_at, 8 * SPEC_WORDS)
    answer = _tagged(words, at)
    _leave(base, num_published, num_freed)
    return answer


def _publish(
    base: int,
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
    if not _is_locked(base):
        return BUSY
    words = _words(base)
    num_published, num_freed = words[ORDER], words[FREED]
    answer = publish(
        words,
        _reals(base),
        at,
        generation,
        me,
        viewed,
        stamp_ns,
        sequence,
        trust,
        quality,
        deadline_ns,
        now_ns,
        checksum,
    )
    _leave(base, num_published, num_freed)
    return answer


def _take(base: int, me: int, bit: int, thread: int, now_ns: int, newest: int, ended: int) -> int:
    if not _is_locked(base):
        return BUSY
    words = _words(base)
    num_published, num_freed = words[ORDER], words[FREED]
    answer = _tagged(words, take(words, _reals(base), me, bit, thread, now_ns, newest, ended))
    _leave(base, num_published, num_freed)
    return answer


def _release(
    base: int, at: int, generation: int, bit: int, viewed: int, now_ns: int, received_ns: int, is_orphan: int
) -> int:
    if not _is_locked(base):
        return BUSY
    words = _words(base)
    num_published, num_freed = words[ORDER], words[FREED]
    answer = release(words, _reals(base), at, generation, bit, viewed, now_ns, received_ns, is_orphan)
    _leave(base, num_published, num_freed)
    return answer


def _wait(base: int, flag: int, counter: int, seen: int, spin_ns: int, timeout_ns: int) -> int:
    """1 as soon as the word `counter` is not `seen` or the mailbox is closed; 0 after the timeout or a
    signal.

    flag: word of the doorbell.  spin_ns: read the counter for this long before the sleep of at most
    timeout_ns.  Runs without the GIL.
    """
    bell, counted, closed = base + 8 * flag, base + 8 * counter, base + 8 * IS_CLOSED
    if spin_ns > 0:
        end_ns = monotonic_ns() + spin_ns
        while monotonic_ns() < end_ns and load_acquire(closed) == 0:
            num_checks = _NUM_CHECKS
            while num_checks > 0 and load_acquire(counted) == seen:
                pause()
                num_checks -= 1
            if num_checks > 0:
                return 1
    if timeout_ns <= 0:
        return int(load_acquire(counted) != seen or load_acquire(closed) != 0)
    count = _load32(bell + 8)
    store_relaxed(bell, 1)
    fence_full()
    if load_acquire(counted) == seen and load_acquire(closed) == 0:
        _futex_wait(bell + 8, count, timeout_ns)
    return int(load_acquire(counted) != seen or load_acquire(closed) != 0)


def _translated(step: Any, *, releases_gil: bool = False) -> Any:
    """Compile now, not on the first call; later runs read the cache on disk."""
    kinds = [kind for name, kind in step.__annotations__.items() if name != "return"]
    signature = tuple(numba.float64 if kind == "float" else numba.int64 for kind in kinds)
    return bound(kernel(step, releases_gil=releases_gil), signature)


LEND, PUBLISH, TAKE, RELEASE = (_translated(step) for step in (_lend, _publish, _take, _release))
WAIT = _translated(_wait, releases_gil=True)
