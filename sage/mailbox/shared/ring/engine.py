"""How this process takes its steps on shared words: compiled with LLVM's atomics where numba is, else Python
under a lock.

Invariant: chosen once, by import and a trial; the reason is logged and can be asked for. Both run the same
lines, but never
on the same ring: a lock keeps nobody out who does not take it.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import structlog

from sage.compiled import has_compiler, kernel
from sage.errors import InputError
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.mutex import RobustMutex
from sage.mailbox.shared.memory.participants import LOCK_TIMEOUT_SECS
from sage.mailbox.shared.memory.words import load_relaxed, swap_if
from sage.mailbox.shared.ring import order_words
from sage.mailbox.shared.ring import pop as ring_pop
from sage.mailbox.shared.ring import push as ring_push

log = structlog.get_logger("sage")

EngineName = Literal["numba", "plain"]
Step = Callable[..., int]
_TRIAL_COUNT = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The steps of `ring_push` and `ring_pop`, to be called with addresses."""

    name: EngineName
    push: Step
    has_room: Step
    pop: Step
    lag: Step
    await_record: Step
    end_sequence: Step
    enter: Step
    add: Step


def choose(asked: EngineName | None) -> EngineName:
    """ "numba" where it works, else "plain". MailboxError when "numba" is asked for and does not work."""
    if asked not in (None, "numba", "plain"):
        raise InputError(f'engine is {asked!r}: give "numba", "plain" or None')
    if asked == "plain":
        return "plain"
    reason = why_plain()
    if asked == "numba" and reason:
        raise MailboxError(f"no compiled engine for shared mailboxes: {reason}")
    return "plain" if reason else "numba"


def make_engine(name: EngineName, lock: RobustMutex, what: str) -> Engine:
    """lock: the segment's, which a plain engine takes for each step.  what: the mailbox's name, for
    messages.
    """
    return compiled_engine() if name == "numba" else _plain_engine(lock, what)


def describe_engine() -> str:
    """One line for people: which engine new shared mailboxes get here, and why."""
    reason = why_plain()
    if reason:
        return f"plain Python under a lock: {reason}"
    import numba

    return f"compiled (numba {numba.__version__}, LLVM atomics)"


@cache
def why_plain() -> str:
    """Why steps are not compiled here; "" when they are."""
    if not has_compiler():
        return "numba is not installed: pip install 'sage-runtime[fast]'"
    try:
        is_right = _two_threads_count()
    except Exception as error:  # whatever a compiler may say: the other engine is there
        reason = f"the compiled engine failed its trial ({type(error).__name__}: {error})"
    else:
        reason = "" if is_right else "two threads counted wrongly in the compiled engine's trial"
    if reason:
        log.warning("shared mailboxes run interpreted", reason=reason)
    return reason


@cache
def compiled_engine() -> Engine:
    """Translated when first called, then read from disk."""
    from numba.extending import register_jitable

    from sage.mailbox.shared.memory import atomics

    assert atomics.swap_if is not None  # importing it teaches numba what the words are
    for step in (*order_words.STEPS, *ring_push.STEPS, *ring_pop.STEPS):
        register_jitable(step)
    return Engine(
        name="numba",
        push=_compiled(ring_push.push),
        has_room=_compiled(ring_push.has_room),
        pop=_compiled(ring_pop.pop),
        lag=_compiled(ring_pop.lag),
        await_record=_compiled(ring_pop.await_record),
        end_sequence=_compiled(ring_pop.end_sequence),
        enter=_compiled(ring_pop.enter),
        add=_compiled(ring_push.count),
    )


def _compiled(step: Step) -> Step:
    """Now, not at the first call, which may come under a lock."""
    import numba

    compiled = kernel(step)
    compiled.compile((numba.int64,) * step.__code__.co_argcount)
    return compiled  # type: ignore[no-any-return]


def _plain_engine(lock: RobustMutex, what: str) -> Engine:
    def locked(step: Step) -> Step:
        return partial(_under, lock, what, step)

    return Engine(
        name="plain",
        push=locked(ring_push.push),
        has_room=locked(ring_push.has_room),
        pop=locked(ring_pop.pop),
        lag=locked(ring_pop.lag),
        await_record=locked(ring_pop.await_record),
        end_sequence=locked(ring_pop.end_sequence),
        add=locked(ring_push.count),
        enter=ring_pop.enter,  # joining holds the lock already
    )


def _under(lock: RobustMutex, what: str, step: Step, *arguments: int) -> int:
    with lock.held(LOCK_TIMEOUT_SECS, what):
        return step(*arguments)


def _two_threads_count() -> bool:
    """Two threads without the interpreter's lock add to one word by swaps: none may be lost."""
    from sage.mailbox.shared.memory import atomics

    assert atomics.swap_if is not None  # importing it teaches numba what the words are
    count: Any = kernel(_count_by_swaps)
    count.targetoptions["nogil"] = (
        True  # kernels keep the interpreter; this one must not, or the threads would take turns
    )
    word = ctypes.c_int64(0)
    count(ctypes.addressof(word), 0)
    threads = [threading.Thread(target=count, args=(ctypes.addressof(word), _TRIAL_COUNT)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return word.value == 2 * _TRIAL_COUNT


def _count_by_swaps(address: int, num_times: int) -> int:
    for _ in range(num_times):
        while True:
            found = load_relaxed(address)
            if swap_if(address, found, found + 1) == found:
                break
    return load_relaxed(address)
