"""The states of a service, its heartbeat and its deadline."""

from __future__ import annotations

import threading

import pytest

from sage.app.daemon.drain import Drain
from sage.app.daemon.notify import Notifier
from sage.app.daemon.service import Service
from sage.app.daemon.states import TRANSITIONS, Lifecycle, ServiceState
from sage.errors import InputError


class Messages(Notifier):
    """Records what would be sent."""

    def __init__(self, watchdog_secs: float | None = None) -> None:
        super().__init__("@nobody", watchdog_secs)
        self.sent: list[str] = []

    def _send(self, message: str) -> None:
        self.sent.append(message)


def test_a_session_goes_through_its_states() -> None:
    messages = Messages(8.0)
    now_ns = [0]
    with Service(messages, real_ns=lambda: now_ns[0]) as service:
        assert service.facts()["state"] == "starting"
        service.begin()
        assert messages.sent[-1] == "READY=1"
        service.drain("signal SIGTERM")
        assert "STOPPING=1" in messages.sent
    assert service.facts()["state"] == "stopped"


def test_a_hangup_while_a_service_starts_reloads_once_it_runs() -> None:
    reloads: list[str] = []
    with Service(Messages()) as service:
        service.reload_soon = lambda: reloads.append(service.facts()["state"])
        service.on_hangup()
        assert reloads == []
        service.begin()
        assert reloads == ["running"]
        service.on_hangup()
        assert reloads == ["running"] * 2
        service.drain("ticks")


def test_a_crisis_and_an_exception_are_failures() -> None:
    with Service(Messages()) as service:
        service.begin()
        service.drain("crisis: the disk")
    assert (service.facts()["state"], service.facts()["reason"]) == ("failed", "crisis: the disk")
    with pytest.raises(ValueError, match="no device"), Service(Messages()) as other:
        raise ValueError("no device")
    assert other.facts()["state"] == "failed"


def test_the_watchdog_is_sent_at_most_four_times_an_interval() -> None:
    messages = Messages(8.0)
    now_ns = [0]
    service = Service(messages, real_ns=lambda: now_ns[0])
    for _ in range(100):
        now_ns[0] += 100_000_000
        service.beat()
    assert messages.sent.count("WATCHDOG=1") == 5  # in 10 s, every 2 s
    quiet = Messages(None)
    Service(quiet).beat()
    assert quiet.sent == []


def test_only_allowed_changes_are_made() -> None:
    lifecycle = Lifecycle()
    with pytest.raises(InputError, match="a service that is starting cannot be sleeping"):
        lifecycle.to(ServiceState.SLEEPING)
    assert lifecycle.state is ServiceState.STARTING
    ends = {state for state, targets in TRANSITIONS.items() if not targets}
    assert ends == {ServiceState.STOPPED, ServiceState.FAILED}


def test_a_drain_stops_the_loop_once_and_aborts_past_its_deadline() -> None:
    reasons: list[str] = []
    aborted = threading.Event()
    drain = Drain(secs=0.01, abort=aborted.set)
    drain.begin("too early")  # nothing is attached yet
    assert not drain.has_begun
    drain.attach(reasons.append)
    drain.begin("sage stop")
    drain.begin("signal SIGTERM")
    assert reasons == ["sage stop"]
    assert aborted.wait(30)
    drain.end()


def test_a_session_that_ends_in_time_is_not_aborted() -> None:
    aborted = threading.Event()
    drain = Drain(secs=3600.0, abort=aborted.set)
    drain.attach(lambda reason: None)
    drain.begin("sage stop")
    drain.end()
    assert not aborted.is_set()
