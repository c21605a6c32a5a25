"""The frequent steps on a shared pool as this process takes them: compiled where numba is, else Python under
the same lock.

Invariant: one source of the rules, and both ways on one pool at once are right, because both take its lock;
nothing is compiled while the lock is held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sage.mailbox.shared.focus import rules as rules
from sage.mailbox.shared.focus.layout import ARRIVALS_FLAG, SPEC, SPEC_WORDS, STATE
from sage.mailbox.shared.memory.segment import IS_CLOSED
from sage.mailbox.shared.memory.words import copy_bytes

if TYPE_CHECKING:
    from sage.mailbox.shared.focus.control import Control

Rule = Callable[..., int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusSteps:
    """As the rules of their names, with the lock and the ringing; BUSY when another keeps the lock
    (`Control.wait_for_lock`).

    lend, take: answer with place and generation (PLACE, PLACE_BITS).  lend: takes the address of the spec's
    words as well.
    wait: (doorbell's flag, counter, seen, timeout_ns): 1 as soon as the counter moved or all is closed, else
    0.
    """

    lend: Rule
    publish: Rule
    take: Rule
    release: Rule
    wait: Rule


def compiled_steps(base: int) -> FocusSteps:
    """base: address of the segment."""
    from sage.mailbox.shared.focus import compiled as compiled

    return FocusSteps(
        lend=partial(compiled.LEND, base),
        publish=partial(compiled.PUBLISH, base),
        take=partial(compiled.TAKE, base),
        release=partial(compiled.RELEASE, base),
        wait=partial(compiled.WAIT, base),
    )


def plain_steps(control: Control) -> FocusSteps:
    base = control.segment.address

    def tagged(at: int) -> int:
        return at if at < 0 else control.words[at + STATE] >> 16 << rules.PLACE_BITS | at

    def lend(*arguments: Any) -> int:
        at = control.run(rules.lend, control.reals, *arguments[:-1])
        if at >= 0:
            copy_bytes(base + 8 * (at + SPEC), arguments[-1], 8 * SPEC_WORDS)
        return tagged(at)

    def wait(flag: int, counter: int, seen: int, timeout_ns: int) -> int:
        words, bell = control.words, control.arrivals if flag == ARRIVALS_FLAG else control.room

        def has_moved() -> bool:
            return bool(words[counter] != seen or words[IS_CLOSED])

        return int(bell.wait_for(has_moved, timeout_ns * 1e-9))

    return FocusSteps(
        lend=lend,
        publish=lambda *arguments: control.run(rules.publish, control.reals, *arguments),
        take=lambda *arguments: tagged(control.run(rules.take, control.reals, *arguments)),
        release=lambda *arguments: control.run(rules.release, control.reals, *arguments),
        wait=wait,
    )
