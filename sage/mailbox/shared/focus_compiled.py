"""The frequent rules of a shared pool as one compiled call each: lock, rule, unlock, and whom to wake. Imports numba.

Invariant: between lock and unlock there is no Python, hence no signal, no switch of threads and no garbage collector.
"""

# mypy: disable-error-code="no-any-return"
# what the two views of the control memory hold is known to numba, not to mypy
from __future__ import annotations

import errno
import types
from typing import Any

import numba
from numba.core.types import ExternalFunction
from numba.extending import register_jitable

from sage.compiled import kernel
from sage.mailbox.shared import focus_ending, focus_queue, focus_rules
from sage.mailbox.shared.focus_layout import ARRIVALS_FLAG, FREED, ORDER, ROOM_FLAG
from sage.mailbox.shared.focus_rules import lend, publish, release, take

BUSY = -(1 << 62)
RINGS_ARRIVALS, RINGS_ROOM = 1, 2
_OWNERDEAD = errno.EOWNERDEAD
_TRIES = 50  # some 5 us: longer than anybody who is not descheduled keeps it

_trylock: Any = ExternalFunction("pthread_mutex_trylock", numba.int32(numba.int64))
_consistent: Any = ExternalFunction("pthread_mutex_consistent", numba.int32(numba.int64))
_unlock: Any = ExternalFunction("pthread_mutex_unlock", numba.int32(numba.int64))

for module in (focus_queue, focus_ending, focus_rules):
    for function in tuple(vars(module).values()):
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__:
            register_jitable(function)


@register_jitable
def _is_locked(lock: int) -> bool:
    for _ in range(_TRIES):
        code = _trylock(lock)
        if code == 0:
            return True
        if code == _OWNERDEAD:  # every store leaves a valid table: nothing to repair
            _consistent(lock)
            return True
    return False


@register_jitable
def _leave(words: Any, lock: int, num_published: int, num_freed: int, answer: int) -> int:
    """The answer, and in its last two bits who has to be woken. The sleeper raises his flag, then looks."""
    has_published, has_freed = words[ORDER] != num_published, words[FREED] != num_freed
    _unlock(lock)
    rings = 0
    if has_published and words[ARRIVALS_FLAG] != 0:
        rings |= RINGS_ARRIVALS
    if has_freed and words[ROOM_FLAG] != 0:
        rings |= RINGS_ROOM
    return answer << 2 | rings


def _lend(
    words: Any, reals: Any, lock: int, me: int, bit: int, thread: int, producer: int, trust: float, now_ns: int, may_drop: int,
    demotes: int, unseen: int,
) -> int:  # fmt: skip
    if not _is_locked(lock):
        return BUSY
    num_published, num_freed = words[ORDER], words[FREED]
    answer = lend(words, reals, me, bit, thread, producer, trust, now_ns, may_drop, demotes, unseen)
    return _leave(words, lock, num_published, num_freed, answer)


def _publish(
    words: Any, reals: Any, lock: int, at: int, generation: int, me: int, viewed: int, stamp_ns: int, sequence: int,
    trust: float, quality: float, deadline_ns: int, now_ns: int, checksum: int,
) -> int:  # fmt: skip
    if not _is_locked(lock):
        return BUSY
    num_published, num_freed = words[ORDER], words[FREED]
    answer = publish(
        words, reals, at, generation, me, viewed, stamp_ns, sequence, trust, quality, deadline_ns, now_ns, checksum
    )  # fmt: skip
    return _leave(words, lock, num_published, num_freed, answer)


def _take(words: Any, reals: Any, lock: int, me: int, bit: int, thread: int, now_ns: int, newest: int, unseen: int) -> int:
    if not _is_locked(lock):
        return BUSY
    num_published, num_freed = words[ORDER], words[FREED]
    answer = take(words, reals, me, bit, thread, now_ns, newest, unseen)
    return _leave(words, lock, num_published, num_freed, answer)


def _release(
    words: Any, reals: Any, lock: int, at: int, generation: int, bit: int, viewed: int, now_ns: int, received_ns: int,
    is_orphan: int,
) -> int:  # fmt: skip
    if not _is_locked(lock):
        return BUSY
    num_published, num_freed = words[ORDER], words[FREED]
    answer = release(words, reals, at, generation, bit, viewed, now_ns, received_ns, is_orphan)
    return _leave(words, lock, num_published, num_freed, answer)


def _translated(rule: Any) -> Any:
    """Now, not at the first call; then read from disk."""
    kinds = {"words": numba.int64[::1], "reals": numba.float64[::1]}
    arguments = [(name, kind) for name, kind in rule.__annotations__.items() if name != "return"]
    compiled = kernel(rule)
    compiled.compile(tuple(kinds.get(name, numba.float64 if kind == "float" else numba.int64) for name, kind in arguments))
    return compiled


STEPS = {
    lend: _translated(_lend),
    publish: _translated(_publish),
    take: _translated(_take),
    release: _translated(_release),
}
