"""Choice of the engine for shared mailboxes: compiled with LLVM's atomics if numba works, else Python under a lock.

Invariant: chosen once per process, by an import and a trial; the reason is logged, and `why_plain` returns it.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any, Literal

import structlog

from sage.compiled import has_compiler, kernel
from sage.errors import InputError
from sage.mailbox.errors import MailboxError
from sage.mailbox.shared.memory.words import load_relaxed, swap_if

log = structlog.get_logger("sage")

EngineName = Literal["numba", "plain"]
_TRIAL_COUNT = 5_000


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
