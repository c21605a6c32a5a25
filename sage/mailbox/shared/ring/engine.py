"""The steps of the ring's protocol: compiled with LLVM's atomics, or Python under a lock.

Invariant: both engines run the same source, but never on the same ring, because compiled steps do not take
the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from sage.compiled import bound, kernel
from sage.mailbox.shared.memory.engine_choice import EngineName
from sage.mailbox.shared.memory.mutex import RobustMutex
from sage.mailbox.shared.memory.participants import LOCK_TIMEOUT_SECS
from sage.mailbox.shared.ring import order_words
from sage.mailbox.shared.ring import pop as ring_pop
from sage.mailbox.shared.ring import push as ring_push
from sage.mailbox.shared.ring.array_memory import IS_KNOWN

Step = Callable[..., int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The steps of `push` and `pop`; their arguments are addresses.

    pop_when_ready: None where a wait is Python, because the plain engine's lock must not be held in it.
    push_one, push_array, pop_next, pop_array: of `compiled`; None with the plain engine, and where the memory
    of array objects is not known.
    """

    name: EngineName
    push: Step
    has_room: Step
    pop: Step
    pop_when_ready: Step | None
    push_one: Step | None
    push_array: Step | None
    pop_next: Step | None
    pop_array: Step | None
    lag: Step
    await_record: Step
    end_sequence: Step
    enter: Step
    add: Step


def make_engine(name: EngineName, lock: RobustMutex, what: str) -> Engine:
    """lock: of the segment; a plain engine takes it for each step.  what: the mailbox's name, for errors."""
    return compiled_engine() if name == "numba" else _plain_engine(lock, what)


@cache
def compiled_engine() -> Engine:
    """Compiled on the first call, then read from the cache on disk."""
    from numba.extending import register_jitable

    from sage.mailbox.shared.ring import compiled  # its import registers the compiled words

    protocol = (*order_words.STEPS, *ring_push.STEPS, *ring_pop.STEPS, ring_push.push, ring_pop.pop)
    for step in (*protocol, *compiled.STEPS):
        register_jitable(step)
    return Engine(
        name="numba",
        push=_compiled(compiled.push),
        has_room=_compiled(ring_push.has_room),
        pop=_compiled(compiled.pop),
        pop_when_ready=_compiled(compiled.pop_when_ready, releases_gil=True),
        push_one=_compiled(compiled.push_one) if IS_KNOWN else None,
        push_array=_compiled(compiled.push_array) if IS_KNOWN else None,
        pop_next=_compiled(compiled.pop_next) if IS_KNOWN else None,
        pop_array=_compiled(compiled.pop_array) if IS_KNOWN else None,
        lag=_compiled(ring_pop.lag),
        await_record=_compiled(ring_pop.await_record),
        end_sequence=_compiled(ring_pop.end_sequence),
        enter=_compiled(ring_pop.enter),
        add=_compiled(ring_push.count),
    )


def _compiled(step: Step, *, releases_gil: bool = False) -> Step:
    """Now, not at the first call, which may come under a lock."""
    import numba

    compiled: Step = bound(
        kernel(step, releases_gil=releases_gil), (numba.int64,) * step.__code__.co_argcount
    )
    return compiled


def _plain_engine(lock: RobustMutex, what: str) -> Engine:
    def locked(step: Step) -> Step:
        return partial(_under, lock, what, step)

    return Engine(
        name="plain",
        push=locked(ring_push.push),
        has_room=locked(ring_push.has_room),
        pop=locked(ring_pop.pop),
        pop_when_ready=None,
        push_one=None,
        push_array=None,
        pop_next=None,
        pop_array=None,
        lag=locked(ring_pop.lag),
        await_record=locked(ring_pop.await_record),
        end_sequence=locked(ring_pop.end_sequence),
        add=locked(ring_push.count),
        enter=ring_pop.enter,  # called with the lock held
    )


def _under(lock: RobustMutex, what: str, step: Step, *arguments: int) -> int:
    with lock.held(LOCK_TIMEOUT_SECS, what):
        return step(*arguments)
