"""A client of NVIDIA's policy servers: a ZeroMQ REQ socket with real time limits.

Upstream's own client before N1.7 ignored its time limit, so that a server that had stopped blocked it.
Invariant: after a failure other than an error reply the socket is closed, and the next call opens a new one
and reads the modalities again: the server may have been restarted with another policy.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.client.contract import (
    PolicyFailure,
    PolicyRefusal,
    PolicyTimeout,
)
from sage.gr00t_integration.client.turn import Turns
from sage.gr00t_integration.dialects import Dialect, detect, differences, read_modalities
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation, check_actions
from sage.gr00t_integration.packages import load_zmq
from sage.gr00t_integration.wire import codec
from sage.gr00t_integration.wire.errors import WireError
from sage.gr00t_integration.wire.limits import MAX_BYTES

#: A wait for a reply is cut into parts of this length, so that `stop` ends it.
PART_SECS = 0.05
TIMEOUT_SECS = 15.0


class ZmqPolicyClient:
    """dialect: None: found by the server's modalities.  timeout_secs: of one request, connecting included."""

    def __init__(
        self,
        address: str,
        embodiment: Embodiment,
        *,
        dialect: Dialect | None = None,
        api_token: str | None = None,
        timeout_secs: float = TIMEOUT_SECS,
    ) -> None:
        if not address.startswith(("tcp://", "ipc://")):
            raise InputError(f"address is {address}: give tcp://HOST:PORT")
        self._zmq: Any = load_zmq()
        self._address = address
        self._embodiment = embodiment
        self._given = dialect
        self._api_token = api_token
        self._timeout_secs = timeout_secs
        self._dialect: Dialect | None = None
        self._turns = Turns(address, timeout_secs)
        self._context: Any = None
        self._socket: Any = None
        self.num_sockets = 0

    @property
    def address(self) -> str:
        return self._address

    @property
    def about(self) -> str:
        return "not connected" if self._dialect is None else self._dialect.name

    def ping(self) -> None:
        """Raises PolicyFailure unless the server answers."""
        with self._turns.take() as deadline:
            self._ping(deadline)

    def connect(self) -> Dialect:
        """Read the modalities; the dialect. PolicyFailure where they are not those of the embodiment."""
        with self._turns.take() as deadline:
            return self._connect(deadline)

    def infer(self, observation: Observation) -> dict[str, np.ndarray]:
        with self._turns.take() as deadline:
            return self._infer(observation, deadline)

    def reset(self) -> None:
        with self._turns.take() as deadline:
            if self._connect(deadline).has_reset:
                self._call({"endpoint": "reset", "data": {"options": None}}, deadline)

    def stop(self) -> None:
        self._turns.stop()

    def close(self) -> None:
        self._turns.close(self._drop)

    def _ping(self, deadline: float) -> None:
        reply = self._call({"endpoint": "ping"}, deadline)
        if not isinstance(reply, dict) or reply.get("status") != "ok":
            raise self._failed(f"ping: the reply is {str(reply)[:80]}: is it a policy server?")

    def _connect(self, deadline: float) -> Dialect:
        if self._dialect is None:
            reply = self._call({"endpoint": "get_modality_config"}, deadline)
            try:
                found = self._given or detect(reply)
                wrong = differences(self._embodiment, read_modalities(reply))
            except WireError as error:
                raise self._failed(str(error)) from error
            if wrong:
                raise self._failed(f"not the embodiment {self._embodiment.name}: {'; '.join(wrong)[:400]}")
            self._dialect = found
        return self._dialect

    def _infer(self, observation: Observation, deadline: float) -> dict[str, np.ndarray]:
        dialect = self._connect(deadline)
        reply = self._call({"endpoint": "get_action", "data": dialect.request(observation)}, deadline)
        try:
            actions = dialect.actions(reply)
            check_actions(self._embodiment, actions, observation.batch_size)
        except WireError as error:
            raise self._failed(str(error)) from error
        return {name: actions[name] for name in self._embodiment.action.keys}

    def _call(self, request: dict[str, Any], deadline: float) -> Any:
        """The reply to one request, decoded. PolicyFailure."""
        if self._api_token is not None:
            request["api_token"] = self._api_token
        message = codec.pack(request)
        self._turns.check()
        if self._socket is None:
            self._open()
        self._until(deadline, lambda: self._socket.send(message))
        data: bytes = self._until(deadline, self._socket.recv)
        if data == b"ERROR":
            raise self._failed("the server answered ERROR: read its log")
        try:
            reply = codec.unpack(data)
        except WireError as error:
            raise self._failed(str(error)) from error
        if isinstance(reply, dict) and "error" in reply:  # the text may be empty
            text = " ".join(str(reply["error"]).split())[:400] or "an error without a text"
            raise PolicyRefusal(f"{self._address}: {request['endpoint']}: the server answered: {text}")
        return reply

    def _until(self, deadline: float, step: Any) -> Any:
        while True:
            try:
                return step()
            except self._zmq.Again:
                pass
            except self._zmq.ZMQError as error:
                raise self._failed(f"{str(error).lower()}: check the address") from error
            if self._turns.is_stopped:
                self._drop()
            self._turns.check()
            if time.monotonic() >= deadline:
                self._drop()
                raise PolicyTimeout(
                    f"{self._address}: no answer within {self._timeout_secs:g} s: start the server, or give a"
                    " longer timeout_secs"
                )

    def _open(self) -> None:
        zmq = self._zmq
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        part = max(1, round(min(PART_SECS, self._timeout_secs) * 1000))
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.RCVTIMEO, part),
            (zmq.SNDTIMEO, part),
            (zmq.MAXMSGSIZE, MAX_BYTES),
        ):
            self._socket.setsockopt(option, value)
        self.num_sockets += 1
        try:
            self._socket.connect(self._address)
        except zmq.ZMQError as error:
            raise self._failed(f"{str(error).lower()}: give tcp://HOST:PORT") from error

    def _failed(self, reason: str) -> PolicyFailure:
        self._drop()
        return PolicyFailure(f"{self._address}: {reason}")

    def _drop(self) -> None:
        """Close the socket and forget the dialect."""
        self._dialect = None
        socket, context = self._socket, self._context
        self._socket = self._context = None
        if socket is not None:
            socket.close(linger=0)
            context.term()
