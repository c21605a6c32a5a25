"""A policy as an openpi server: WebSocket and msgpack, as servers of pi0 and DreamZero.

The server sends its metadata first. A request is a flat observation with `endpoint`: infer (also where it is
missing) or reset. An error and the acknowledgement of a reset are text frames. Invariant: the server
continues after any message; a connection with an error is closed, as upstream.
"""

from __future__ import annotations

import hmac
import threading
from typing import Any

import numpy as np
import structlog

from sage.errors import InputError, SageError, pass_on
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import check_actions, check_observation
from sage.gr00t_integration.openpi_form import RESET_TEXT, actions_to_reply, observation_of
from sage.gr00t_integration.packages import load_websockets
from sage.gr00t_integration.server.policies import ServedPolicy
from sage.gr00t_integration.wire import openpi_codec
from sage.gr00t_integration.wire.errors import WireError
from sage.gr00t_integration.wire.limits import MAX_BYTES

log = structlog.get_logger("sage.groot")


class OpenpiPolicyServer:
    """Bound when it is made; `run` serves until `stop`, each connection on a thread of its own. The policy is
    called by one of them at a time, as upstream.

    api_token: what a client must send as `Authorization: Api-Key TOKEN`; None: nothing.  port 0: a free one.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        embodiment: Embodiment,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        api_token: str | None = None,
    ) -> None:
        if not host.strip():
            raise InputError("host is empty: give 127.0.0.1, or the address to listen on")
        websockets = load_websockets()
        self._websockets: Any = websockets
        self._policy = policy
        self._policy_lock = threading.Lock()
        self._embodiment = embodiment
        self._api_token = api_token
        try:
            self._server: Any = websockets.sync.server.serve(
                self._serve,
                host,
                port,
                compression=None,
                max_size=MAX_BYTES,
                process_request=self._check_token,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"{host}:{port}: {reason}: give another --host or --port") from error
        self.address = f"ws://{host}:{self._server.socket.getsockname()[1]}"

    def run(self) -> None:
        self._server.serve_forever()

    def stop(self) -> None:
        """End `run`. From any thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the address back; safe to call twice."""
        self._server.socket.close()

    def __enter__(self) -> OpenpiPolicyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def metadata(self) -> dict[str, Any]:
        """What a client gets first."""
        keys = self._embodiment.action.keys
        return {
            "server": "sage groot serve",
            "policy": self._policy.about,
            "embodiment": self._embodiment.name,
            "action_horizon": self._embodiment.action.horizon,
            "action_dims": {name: key.dim for name, key in keys.items()},
        }

    def _check_token(self, connection: Any, request: Any) -> Any:
        wanted = self._api_token
        given = request.headers.get("Authorization", "")
        if wanted is None or hmac.compare_digest(given.encode(), f"Api-Key {wanted}".encode()):
            return None
        return connection.respond(401, "Unauthorized: Invalid API token\n")

    def _serve(self, connection: Any) -> None:
        closed = self._websockets.exceptions.ConnectionClosed
        try:
            connection.send(openpi_codec.pack(self.metadata))
            for message in connection:
                connection.send(self._answer(message))
        except closed:
            return
        except SageError as error:
            reason = str(error)
        except BaseException as error:  # around a policy: logged and sent
            pass_on(error)
            reason = f"{type(error).__name__}: {error}"
            log.warning("the policy failed", error=reason)
        try:
            connection.send(reason)
            connection.close(1011, "see the last message")
        except closed:
            return

    def _answer(self, message: Any) -> bytes | str:
        """Bytes for actions, text for an acknowledgement."""
        if not isinstance(message, bytes):
            raise WireError("request: a text frame: send msgpack in a binary frame")
        request = openpi_codec.unpack(message)
        if not isinstance(request, dict):
            raise WireError(f"request: a {type(request).__name__}: send a map")
        endpoint = request.get("endpoint", "infer")
        if endpoint == "reset":
            with self._policy_lock:
                self._policy.reset(request.get("options"))
            return RESET_TEXT
        if endpoint != "infer":
            raise WireError(f"endpoint {str(endpoint)[:80]}: unknown: send infer or reset")
        observation = check_observation(self._embodiment, observation_of(self._embodiment, request))
        with self._policy_lock:
            actions: dict[str, np.ndarray] = self._policy.act(observation)
        check_actions(self._embodiment, actions, observation.batch_size)
        return openpi_codec.pack(actions_to_reply(self._embodiment, actions))
