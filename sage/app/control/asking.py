"""A function that is run between two ticks for a verb of the control socket."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NoResult
from typing import TypeVar

from sage.app.terminal.errors import UserError
from sage.runtime.control import LoopControl

ResultT = TypeVar("ResultT")
#: How long a verb waits for the end of the tick.
TICK_SECS = 5.0


def done_between_ticks(
    control: LoopControl, function: Callable[[], ResultT], *, secs: float = TICK_SECS
) -> ResultT:
    """Its result. UserError, and nothing is done, where the tick does not end in time."""
    future: Future[ResultT] = control.ask(function)
    try:
        return future.result(secs)
    except (NoResult, CancelledError):
        if not future.cancel() and future.done() and not future.cancelled():
            return future.result()
        raise UserError(
            f"the tick has not ended within {secs:g} s, nothing was done: ask again, or `sage estop`"
        ) from None
