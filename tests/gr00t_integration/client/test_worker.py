"""The worker: the latest request only, one outcome at a time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sage.gr00t_integration.client.contract import ClientStopped, PolicyFailure
from sage.gr00t_integration.client.worker import PolicyWorker
from sage.gr00t_integration.embodiment import Embodiment


class Gate:
    """A client that answers each request when it is let through."""

    address, about = "gate", "gate"

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.has_begun = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)
        self.is_stopped = False
        self.is_closed = threading.Event()
        self.error: Exception | None = None

    def infer(self, observation: Any) -> Any:
        self.asked.append(observation)
        self.has_begun.release()
        assert self.may_answer.acquire(timeout=10)
        if self.is_stopped:
            raise ClientStopped("stopped")
        if self.error:
            raise self.error
        return {"observation": observation}

    def reset(self) -> None: ...

    def stop(self) -> None:
        self.is_stopped = True
        self.may_answer.release()

    def close(self) -> None:
        self.is_closed.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_only_the_latest_request_is_sent(gate: Gate, so100: Embodiment) -> None:
    worker = PolicyWorker(gate)
    worker.start()
    worker.ask("a", 1)  # type: ignore[arg-type]
    assert gate.has_begun.acquire(timeout=10)
    for text in "bcd":
        worker.ask(text, ord(text))  # type: ignore[arg-type]
    gate.may_answer.release()
    assert gate.has_begun.acquire(timeout=10)
    assert gate.asked == ["a", "d"]
    assert worker.num_replaced == 2
    answer = worker.take()
    assert answer is not None
    assert (answer.actions, answer.stamp_ns) == ({"observation": "a"}, 1)
    assert worker.take() is None
    gate.may_answer.release()
    assert worker.wait(10)
    answer = worker.take()
    assert answer is not None
    assert answer.stamp_ns == ord("d")
    worker.close()
    assert gate.is_closed.is_set()


@pytest.mark.parametrize("error", [PolicyFailure("no"), ZeroDivisionError("no")])
def test_a_failure_is_raised_once_and_the_worker_continues(gate: Gate, error: Exception) -> None:
    worker = PolicyWorker(gate, backoff_secs=0.001)
    worker.start()
    gate.error = error
    worker.ask("a", 1)  # type: ignore[arg-type]
    gate.may_answer.release()
    assert worker.wait(10)
    with pytest.raises(type(error)):
        worker.take()
    assert worker.take() is None
    gate.error = None
    worker.ask("b", 2)  # type: ignore[arg-type]
    gate.may_answer.release()
    assert worker.wait(10)
    assert worker.take() is not None
    assert (worker.num_answered, worker.num_failed, worker.last_error) == (1, 1, "no")
    worker.close()


def test_close_ends_a_request_in_progress(gate: Gate) -> None:
    worker = PolicyWorker(gate)
    worker.start()
    worker.ask("a", 1)  # type: ignore[arg-type]
    assert gate.has_begun.acquire(timeout=10)
    worker.close(timeout_secs=10)
    assert gate.is_closed.is_set()
    worker.close()
