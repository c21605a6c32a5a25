"""Processes for the tests of shared focus pools: forked, each with its own handle, which run lines of Python.

Invariant: a peer ends with its test, and so does every name in /dev/shm.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sage.mailbox import RealClock
from sage.mailbox.shared import SharedFocus
from sage.mailbox.shared.memory.segment import FOLDER, PREFIX

_numbers = itertools.count()


def _serve(pipe: Any, name: str, options: dict[str, Any]) -> None:
    names = {"box": SharedFocus.attach(name, clock=RealClock(), **options), "np": np, "os": os, "time": time}
    while True:
        line = pipe.recv()
        try:
            try:
                answer = eval(line, names)
            except SyntaxError:
                answer = exec(line, names)
        except BaseException as error:
            answer = error
        pipe.send(answer)


class Peer:
    """`ask` runs a line of Python in which `box` is its mailbox and returns the value; `tell` is the same for
    a statement; `start` and `result` are the two halves of `ask`.
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._pipe.close()
                _serve(theirs, name, options)
            finally:
                os._exit(0)
        theirs.close()
        self.is_alive = True

    def start(self, line: str) -> Peer:
        self._pipe.send(line)
        return self

    def result(self) -> Any:
        assert self._pipe.poll(30.0), "no answer for 30 s"
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask(self, line: str) -> Any:
        return self.start(line).result()

    tell = ask

    def kill(self) -> int:
        """Its exit status, negative for the signal that ended it."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        if self.is_alive:
            self.is_alive = False
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._pipe.close()
        return self.status


@pytest.fixture(params=["plain", "shared"])
def make_box(request: pytest.FixtureRequest) -> Iterator[Callable[..., SharedFocus]]:
    """A new shared pool of slots of 4 KiB, that waits when it is full."""
    boxes: list[SharedFocus] = []
    engine = "plain" if request.param == "plain" else None

    def make(**options: Any) -> SharedFocus:
        name = f"test.{os.getpid()}.f{next(_numbers)}"
        wanted = {"clock": RealClock(), "slot_bytes": 4096, "policy": "block", "engine": engine, **options}
        boxes.append(SharedFocus.create(name, **wanted))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()
        box.unlink()
        assert not (FOLDER / f"{PREFIX}{box.name}").exists()


@pytest.fixture
def make_peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(box: SharedFocus, **options: Any) -> Peer:
        peers.append(Peer(box.name, {"engine": box.engine, **options}))
        return peers[-1]

    yield make
    for peer in peers:
        peer.kill()


@pytest.fixture
def in_fork() -> Callable[[Callable[[], Any]], int]:
    """in_fork(work): the exit status of a forked child that does `work`: what it returns, 99 if it raises, -n
    for a signal.
    """

    def run(work: Callable[[], Any]) -> int:
        child = os.fork()
        if child == 0:
            status = 99
            try:
                status = work() or 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.fixture
def loan_all() -> Callable[[SharedFocus], None]:
    """loan_all(box): every slot can be loaned, so that none is held."""

    def check(box: SharedFocus) -> None:
        loans = [box.loan((4,), timeout_secs=30.0) for _ in range(box.slots)]
        for loan in loans:
            loan.discard()

    return check


@pytest.fixture
def put() -> Callable[..., None]:
    """put(box, value): a (4,) float32 of `value` with that sequence and stamp."""

    def publish(box: SharedFocus, value: int, **options: Any) -> None:
        with box.loan((4,), **options) as loan:
            loan.array[:] = value
            assert loan.publish(stamp_ns=value, sequence=value)

    return publish
