"""The engine of shared mailboxes: compiled with LLVM's atomics if numba works, else Python under a lock.

Invariant: chosen once per process, by an import and a trial; `why_plain` logs and returns the reason. All
participants of one ring use the same engine, because compiled steps do not take the lock.
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


def choose(requested: EngineName | None) -> EngineName:
    """The requested engine, or for None the best that works. Raises MailboxError if "numba" does not work."""
    if requested not in (None, "numba", "plain"):
        raise InputError(f'engine is {requested!r}: give "numba", "plain" or None')
    if requested == "plain":
        return "plain"
    reason = why_plain()
    if requested == "numba" and reason:
        raise MailboxError(f"no compiled engine for shared mailboxes: {reason}")
    return "plain" if reason else "numba"


def describe_engine() -> str:
    """One line: the engine of new shared mailboxes, and why."""
    reason = why_plain()
    if reason:
        return f"plain Python under a lock: {reason}"
    import numba

    return f"compiled (numba {numba.__version__}, LLVM atomics)"


@cache
def why_plain() -> str:
    """Why steps are not compiled here; "" if they are."""
    if not has_compiler():
        return "numba is not installed: pip install 'sage-runtime[fast]'"
    try:
        is_right = _two_threads_count()
    except Exception as error:  # a compiler may raise anything; the plain engine is the alternative
        reason = f"the compiled engine failed its trial ({type(error).__name__}: {error})"
    else:
        reason = "" if is_right else "the compiled engine failed its trial (two threads lost increments)"
    if reason:
        log.warning("shared mailboxes run interpreted", reason=reason)
    return reason


def _two_threads_count() -> bool:
    """Two threads without the GIL increment one word by compare and swap; no increment may be lost."""
    from sage.mailbox.shared.memory import atomics

    assert atomics.swap_if is not None  # importing it registers the compiled words
    count: Any = kernel(_count_by_swaps)
    count.targetoptions["nogil"] = True  # without it the threads would run one after the other
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
