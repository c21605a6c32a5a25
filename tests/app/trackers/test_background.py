"""A sink in the background: logging never waits, and nothing is lost without being counted."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from sage.app.trackers.background import MAX_ERRORS, RETRY_SECS, BackgroundSink


class Sink:
    """Records; waits for `gate` before each record; raises `fault`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.has_begun = threading.Event()
        self.fault: BaseException | None = None
        self.got: list[int] = []
        self.is_closed = False

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.has_begun.set()
        assert self.gate.wait(30)
        if self.fault is not None:
            raise self.fault
        self.got.append(step)

    def close(self) -> None:
        self.is_closed = True


def test_everything_is_handed_over_in_order_and_the_sink_is_closed() -> None:
    sink = Sink()
    background = BackgroundSink("test", lambda: sink)
    for step in range(5):
        background.log(step, {"loss": 0.5})
    background.close()
    assert sink.got == [0, 1, 2, 3, 4]
    assert sink.is_closed
    assert background.notices() == ()
    assert background.statistics().num_logged == 5


def test_a_slow_sink_delays_nobody_and_loses_the_oldest_counted() -> None:
    sink = Sink()
    sink.gate.clear()
    background = BackgroundSink("test", lambda: sink, capacity=3)
    background.log(0, {})
    assert sink.has_begun.wait(30)  # step 0 is in the sink's hands
    for step in range(1, 11):
        background.log(step, {})
    found = background.statistics()
    assert (found.num_queued, found.num_dropped) == (3, 7)
    assert background.notices() == ("tracker test: 7 reports lost",)
    sink.gate.set()
    background.close()
    assert sink.got == [0, 8, 9, 10]


def test_closing_does_not_wait_for_a_sink_that_hangs() -> None:
    sink = Sink()
    sink.gate.clear()
    background = BackgroundSink("test", lambda: sink)
    background.log(0, {})
    assert sink.has_begun.wait(30)
    background.close(timeout_secs=0.01)
    assert not sink.is_closed
    sink.gate.set()


def test_an_error_is_counted_and_a_sink_that_recovers_goes_on() -> None:
    sink = Sink()
    sink.fault = OSError("no route to the host")
    background = BackgroundSink("test", lambda: sink)
    background.log(0, {})
    while not background.statistics().num_errors:
        assert sink.has_begun.wait(30)
    assert "no route to the host" in background.notices()[0]
    sink.fault = None
    background.log(1, {})
    background.close()
    assert sink.got == [1]
    assert background.statistics().num_dropped == 1


def test_a_sink_that_fails_for_long_is_tried_again_and_both_ends_are_logged() -> None:
    sink, now = Sink(), [100.0]
    sink.fault = OSError("no route to the host")
    with capture_logs() as lines:
        background = BackgroundSink("test", lambda: sink, real_secs=lambda: now[0])
        for step in range(MAX_ERRORS):
            background.log(step, {})
            while background.statistics().num_dropped <= step:
                pass
        sink.fault = None
        background.log(MAX_ERRORS, {})  # too early
        now[0] += RETRY_SECS
        background.log(MAX_ERRORS + 1, {})
        while not background.statistics().num_logged:
            pass
        background.log(MAX_ERRORS + 2, {})
        background.close()
    assert sink.got == [MAX_ERRORS + 1, MAX_ERRORS + 2]
    assert [(line["event"], line.get("lost")) for line in lines] == [
        ("tracker failed", None),
        ("tracker works again", MAX_ERRORS + 1),
        ("figures not tracked", MAX_ERRORS + 1),
    ]


class PanicException(BaseException):
    """As PyO3 raises for a panic in an extension module: no Exception."""


@pytest.mark.parametrize("kind", [OSError, PanicException])
@pytest.mark.parametrize("fails_at", ["open", "log"])
def test_a_sink_that_only_fails_is_given_up_and_all_is_counted(
    fails_at: str, kind: type[BaseException]
) -> None:
    def make() -> Sink:
        if fails_at == "open":
            raise kind("no network")
        sink.fault = kind("no route to the host")
        return sink

    sink = Sink()
    background = BackgroundSink("test", make)
    for step in range(MAX_ERRORS + 4):
        background.log(step, {})
    background.close()
    found = background.statistics()
    assert (found.num_logged, found.num_queued) == (0, 0)
    assert found.num_dropped == MAX_ERRORS + 4
    assert found.problem.startswith(f"{kind.__name__}: no ")
