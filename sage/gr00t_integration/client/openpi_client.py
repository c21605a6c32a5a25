"""A client of openpi's WebSocket servers: pi0, DreamZero, and `sage groot serve --transport openpi`.

Invariant: a text frame is never taken for an answer: it is the acknowledgement of a reset, which may arrive
late, or an error. After a failure the connection is closed, and the next call opens a new one.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from sage.errors import InputError
from sage.gr00t_integration.client.contract import (
    PolicyFailure,
    PolicyRefusal,
    PolicyTimeout,
)
from sage.gr00t_integration.client.turn import Turns
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import Observation, check_actions
from sage.gr00t_integration.openpi_form import RESET_TEXT, actions_of, request_of
from sage.gr00t_integration.packages import load_websockets
from sage.gr00t_integration.wire import openpi_codec
from sage.gr00t_integration.wire.errors import WireError
from sage.gr00t_integration.wire.limits import MAX_BYTES

#: A wait for a frame is cut into parts of this length, so that `stop` ends it.
PART_SECS = 0.05
#: Upstream's servers ping every 60 s; a model that is loaded may answer late.
PING_SECS, PING_TIMEOUT_SECS = 60.0, 600.0


class OpenpiPolicyClient:
    """timeout_secs: of one request, connecting included.  metadata: the server's own, once connected."""

    def __init__(
        self,
        address: str,
        embodiment: Embodiment,
        *,
        api_token: str | None = None,
        timeout_secs: float = 15.0,
    ) -> None:
        if not address.startswith(("ws://", "wss://")):
            raise InputError(f"address is {address}: give ws://HOST:PORT")
        self._websockets: Any = load_websockets()
        self._address = address
        self._embodiment = embodiment
        self._api_token = api_token
        self._timeout_secs = timeout_secs
        self._turns = Turns(address, timeout_secs)
        self._connection: Any = None
        self._opened = ExitStack()
        self.metadata: dict[str, Any] = {}
        self.num_late_acknowledgements = 0

    @property
    def address(self) -> str:
        return self._address

    @property
    def about(self) -> str:
        if self._connection is None:
            return "not connected"
        return f"openpi: {str(self.metadata.get('policy', 'no description'))[:200]}"

    def connect(self) -> None:
        """Open the connection and read the metadata, the first frame."""
        with self._turns.take() as deadline:
            self._connect(deadline)

    def infer(self, observation: Observation) -> dict[str, np.ndarray]:
        with self._turns.take() as deadline:
            return self._infer(observation, deadline)

    def reset(self) -> None:
        with self._turns.take() as deadline:
            self._connect(deadline)
            self._send({"endpoint": "reset"})
            frame = self._receive(deadline)
            if isinstance(frame, str) and frame.strip().lower() != RESET_TEXT:
                raise self._refused(frame)

    def stop(self) -> None:
        self._turns.stop()

    def close(self) -> None:
        self._turns.close(self._drop)

    def _infer(self, observation: Observation, deadline: float) -> dict[str, np.ndarray]:
        self._connect(deadline)
        self._send({**request_of(observation), "endpoint": "infer"})
        while True:
            frame = self._receive(deadline)
            if isinstance(frame, bytes):
                break
            if frame.strip().lower() != RESET_TEXT:
                raise self._refused(frame)
            self.num_late_acknowledgements += 1  # of an earlier reset
        try:
            actions = actions_of(self._embodiment, openpi_codec.unpack(frame))
            check_actions(self._embodiment, actions, 1)
        except WireError as error:
            raise self._failed(str(error)) from error
        return actions

    def _connect(self, deadline: float) -> None:
        self._turns.check()
        if self._connection is not None:
            return
        headers = {} if self._api_token is None else {"Authorization": f"Api-Key {self._api_token}"}
        try:
            connecting = self._websockets.sync.client.connect(
                self._address,
                compression=None,
                max_size=MAX_BYTES,
                open_timeout=max(0.01, deadline - time.monotonic()),
                close_timeout=PART_SECS,
                ping_interval=PING_SECS,
                ping_timeout=PING_TIMEOUT_SECS,
                additional_headers=headers,
                proxy=None,
            )
            self._connection = self._opened.enter_context(connecting)
        except ValueError as error:
            raise self._failed(f"{str(error).lower()}: give ws://HOST:PORT") from error
        except TimeoutError as error:
            raise self._timed_out() from error
        except (OSError, self._websockets.exceptions.WebSocketException) as error:
            raise self._failed(f"{str(error).lower()}: start the server, or check the address") from error
        frame = self._receive(deadline)
        if not isinstance(frame, bytes):
            raise self._refused(frame)
        try:
            metadata = openpi_codec.unpack(frame)
        except WireError as error:
            raise self._failed(f"metadata: {error}") from error
        if not isinstance(metadata, dict):
            raise self._failed(f"metadata: a {type(metadata).__name__}: is it a policy server?")
        self.metadata = metadata

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._connection.send(openpi_codec.pack(request))
        except (OSError, self._websockets.exceptions.WebSocketException) as error:
            raise self._failed(f"the connection is closed: {error}") from error

    def _receive(self, deadline: float) -> bytes | str:
        while True:
            if self._turns.is_stopped:
                self._drop()
            self._turns.check()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self._drop()
                raise self._timed_out()
            try:
                frame: bytes | str = self._connection.recv(timeout=min(PART_SECS, remaining))
                return frame
            except TimeoutError:
                continue
            except (OSError, self._websockets.exceptions.WebSocketException) as error:
                raise self._failed(f"the connection is closed: {error}") from error

    def _refused(self, text: str) -> PolicyFailure:
        """For a text frame that is no acknowledgement. The server closes the connection after it."""
        self._drop()
        lines = [line for line in text.strip().splitlines() if line.strip()]
        text = " ".join(lines[-1].split())[:400] if lines else "an error without a text"
        return PolicyRefusal(f"{self._address}: the server answered: {text}")

    def _timed_out(self) -> PolicyFailure:
        return PolicyTimeout(
            f"{self._address}: no answer within {self._timeout_secs:g} s: start the server, or give a longer"
            " timeout_secs"
        )

    def _failed(self, reason: str) -> PolicyFailure:
        self._drop()
        return PolicyFailure(f"{self._address}: {' '.join(reason.split())}")

    def _drop(self) -> None:
        self._connection = None
        self.metadata = {}
        self._opened.close()
