"""What a verb reports of a function that outlasts its limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from sage.app.control.asking import done_between_ticks
from sage.app.terminal.errors import UserError
from sage.mailbox.clock import RealClock
from sage.runtime.control import LoopControl


class Begun(LoopControl):
    """`ask` returns once the function has begun, on a thread in the place of the loop's. It then waits for
    `goes_on`.
    """

    def __init__(self) -> None:
        super().__init__(RealClock(), hold=lambda: None, drain=lambda: None, mark=lambda: None)
        self.goes_on = threading.Event()
        self.loop = threading.Thread(target=lambda: self.step(0))

    def ask(self, function: Callable[[], Any]) -> Future[Any]:
        has_begun = threading.Event()

        def slow() -> Any:
            has_begun.set()
            assert self.goes_on.wait(60)
            return function()

        future = super().ask(slow)
        self.loop.start()
        assert has_begun.wait(60)
        return future


@pytest.fixture
def begun() -> Iterator[Begun]:
    control = Begun()
    yield control
    control.goes_on.set()
    control.loop.join()


def test_a_function_that_has_begun_is_waited_for(begun: Begun) -> None:
    threading.Timer(0.1, begun.goes_on.set).start()
    assert done_between_ticks(begun, lambda: "armed", secs=0.01, doing_secs=60) == "armed"


def test_nothing_was_done_is_not_said_of_what_goes_on(begun: Begun) -> None:
    done: list[str] = []
    with pytest.raises(UserError, match=r"begun, and not done within 0\.02 s: it goes on"):
        done_between_ticks(begun, lambda: done.append("armed"), secs=0.01, doing_secs=0.01)
    begun.goes_on.set()
    begun.loop.join()
    assert done == ["armed"]


def test_its_error_is_raised(begun: Begun) -> None:
    threading.Timer(0.1, begun.goes_on.set).start()
    with pytest.raises(TimeoutError, match="of the function"):
        done_between_ticks(
            begun, lambda: (_ for _ in ()).throw(TimeoutError("of the function")).send(None), secs=0.01
        )
