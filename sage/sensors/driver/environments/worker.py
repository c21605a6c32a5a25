"""The process of one environment: `python -m sage.sensors.driver.environments.worker FD`, a plan on its
standard input, FD one end of a socket.

Invariant: the environment is used on one thread. The process ends when the loop closes the socket or ends, or
when the environment fails; it sends a message at least every BEAT_SECS unless a call does not return.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import Any

import numpy as np

from sage.errors import DataError, InputError, SageError
from sage.mailbox.clock import RealClock
from sage.mailbox.shared.memory.identity import is_alive
from sage.sensors.contract import Action, SensorContext, SensorError, SourceExhausted
from sage.sensors.driver.environments import wire
from sage.sensors.driver.environments.plan import EnvironmentPlan
from sage.sensors.environment import Environment

BEAT_SECS = 0.1
#: The longest and the shortest wait for a request, and readings of one sensor in a row.
MAX_PAUSE_SECS, MIN_PAUSE_SECS = 0.05, 0.0005
MAX_READINGS = 32
#: Between two looks whether the loop's process is alive.
WATCH_SECS = 0.1


class LoopEnded(Exception):
    """The other end of the socket is gone."""


class EnvironmentWorker:
    """One environment from open to close."""

    def __init__(self, environment: Environment, end: wire.Wire) -> None:
        self._environment = environment
        self._end = end
        self._sensors = environment.sensors()
        self._effectors = environment.effectors()
        self._buffers = [
            np.zeros(sensor.spec.tensor.shape, sensor.spec.tensor.dtype) for sensor in self._sensors
        ]
        self._is_exhausted = [False] * len(self._sensors)
        periods = [sensor.spec.period_ns for sensor in self._sensors]
        self._pause_secs = max(MIN_PAUSE_SECS, min(MAX_PAUSE_SECS, min(periods, default=1e9) * 1e-9 / 4))
        self._sent_secs = 0.0

    def run(self) -> None:
        """Until the loop closes the socket. Raises what the environment raises."""
        self._environment.open()
        try:
            for sensor in self._sensors:
                sensor.open()
            self._send(wire.READY)
            while self._answer_requests():
                self._send_readings()
                if time.monotonic() - self._sent_secs > BEAT_SECS:
                    self._send(wire.BEAT)
        finally:
            self._environment.close()

    def _answer_requests(self) -> bool:
        """Do what the loop asks for; False at its end."""
        wait_secs = self._pause_secs
        while select.select([self._end], [], [], wait_secs)[0]:
            message = self._end.receive()
            if message is None:
                return False
            self._do(message)
            wait_secs = 0.0
        return True

    def _do(self, message: wire.Message) -> None:
        effector = self._effectors[message.index]
        number, stamp_ns, values = wire.unpack_request(message.body)
        reply = partial(wire.Reply, number=number)
        if message.kind == wire.APPLY:
            tensor = effector.spec.tensor
            action = effector.apply(np.frombuffer(values, tensor.dtype).reshape(tensor.shape), stamp_ns)
            if not isinstance(action, Action) or action.spec != effector.spec:
                raise SensorError(
                    f"{effector.spec.name}: apply returned {action!r}: return an Action of its own spec"
                )
            done = reply(is_held=action.is_held, is_limited=action.is_limited, values=action.values.tobytes())
        else:
            {wire.OPEN: effector.open, wire.ABORT: effector.abort, wire.CLOSE: effector.close}[message.kind]()
            done = reply(is_held=False, is_limited=False, values=b"")
        self._send(wire.REPLY, message.index, done.pack())

    def _send_readings(self) -> None:
        for index, (sensor, out) in enumerate(zip(self._sensors, self._buffers)):
            if self._is_exhausted[index]:
                continue
            try:
                for _ in range(MAX_READINGS):
                    reading = sensor.read_into(out)
                    if reading is None:
                        break
                    self._send(wire.READING, index, wire.pack_reading(reading, out.tobytes()))
            except SourceExhausted:
                self._is_exhausted[index] = True
                self._send(wire.ENDED, index)

    def _send(self, kind: int, index: int = 0, body: bytes = b"") -> None:
        try:
            self._end.send(kind, index, body)
        except OSError as error:
            raise LoopEnded from error
        self._sent_secs = time.monotonic()


def _described(error: BaseException) -> str:
    return str(error) if isinstance(error, SageError) else f"{type(error).__name__}: {error}"


def _make(plan: EnvironmentPlan) -> Any:
    kind = plan.resolve()
    context = SensorContext(clock=RealClock(), epoch_ns=plan.epoch_ns, base_dir=plan.directory)
    return kind(kind.Config.model_validate(plan.config), context)


def _end_with(parent: int) -> None:
    """End this process soon after the loop's, also while a call does not return, unless that keeps the
    interpreter's lock.

    The kernel's signal at a parent's death comes when the thread that started this process ends, which may be
    that of one effector.
    """
    while is_alive(parent):
        time.sleep(WATCH_SECS)
    os._exit(0)


def main() -> None:
    # Ctrl-C and a closing terminal end the loop, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end = wire.Wire(socket.socket(fileno=int(sys.argv[1])))
    plan = EnvironmentPlan.from_json(sys.stdin.read())
    threading.Thread(target=_end_with, args=(plan.parent,), daemon=True).start()
    try:
        EnvironmentWorker(_make(plan), end).run()
    except LoopEnded:
        pass
    except BaseException as error:  # the top of a process: reported to the loop, which counts and shows it
        is_refused = isinstance(error, (InputError, DataError))
        with contextlib.suppress(OSError):  # the loop has ended
            end.send(wire.REFUSED if is_refused else wire.FAILED, body=_described(error).encode())
    # A thread stuck in a device must not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main()
