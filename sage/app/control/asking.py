"""A function that is run between two ticks for a verb of the control socket."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from sage.app.terminal.errors import UserError
from sage.runtime.control import LoopControl

ResultT = TypeVar("ResultT")
#: How long a verb waits for the end of the tick, and then for the end of what it asked for.
TICK_SECS, DOING_SECS = 5.0, 4.0


def done_between_ticks(
    control: LoopControl,
    function: Callable[[], ResultT],
    *,
    secs: float = TICK_SECS,
    doing_secs: float = DOING_SECS,
) -> ResultT:
    """Its result. UserError where the tick does not end in time, and then nothing is done; or where the
    function has begun and does not end in time: it goes on.
    """
    future: Future[ResultT] = control.ask(function)
    wait([future], secs)
    if future.cancel():
        raise UserError(
            f"the tick has not ended within {secs:g} s, nothing was done: ask again, or `sage estop`"
        )
    wait([future], doing_secs)
    if not future.done():
        raise UserError(f"begun, and not done within {secs + doing_secs:g} s: it goes on: see `sage status`")
    return future.result()
