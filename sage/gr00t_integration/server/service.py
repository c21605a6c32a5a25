"""The endpoints of a policy server: from the bytes of a request to the bytes of its reply.

Invariant: `answer` returns a reply for any bytes, and raises nothing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

import structlog

from sage.errors import SageError, pass_on
from sage.gr00t_integration.dialects import Dialect
from sage.gr00t_integration.embodiment import Embodiment
from sage.gr00t_integration.observation import check_actions, check_observation
from sage.gr00t_integration.server.policies import ServedPolicy
from sage.gr00t_integration.wire import codec
from sage.gr00t_integration.wire.errors import WireError

log = structlog.get_logger("sage.groot")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """api_token: what requests must carry; None: nothing.  allows_kill: `kill` ends the server."""

    api_token: str | None = None
    allows_kill: bool = False


class PolicyService:
    """One policy in one dialect. num_answered, num_refused: requests so far.  is_ended: after `kill`."""

    def __init__(
        self, policy: ServedPolicy, embodiment: Embodiment, dialect: Dialect, options: ServiceOptions
    ) -> None:
        self._policy = policy
        self._embodiment = embodiment
        self._dialect = dialect
        self._options = options
        self.num_answered = 0
        self.num_refused = 0
        self.is_ended = False

    def answer(self, data: bytes) -> bytes:
        """The reply to one request."""
        try:
            reply = codec.pack(self._reply(codec.unpack(data)))
            self.num_answered += 1
            return reply
        except SageError as error:
            reason = str(error)
        except BaseException as error:  # around a policy: counted, logged and sent
            pass_on(error)
            reason = f"{type(error).__name__}: {error}"
            log.warning("the policy failed", error=reason)
        self.num_refused += 1
        return codec.pack({"error": reason})

    def _reply(self, request: Any) -> Any:
        if not isinstance(request, dict):
            raise WireError(f"request: a {type(request).__name__}: send a map with 'endpoint'")
        if not self._is_authorized(request.get("api_token")):
            raise WireError("Unauthorized: Invalid API token")
        endpoint = request.get("endpoint", "get_action")
        data = request.get("data")
        if endpoint == "ping":
            return {"status": "ok", "message": "Server is running"}
        if endpoint == "get_modality_config":
            return self._dialect.modalities(self._embodiment)
        if endpoint == "get_action":
            return self._act(data)
        if endpoint == "reset" and self._dialect.has_reset:
            return self._policy.reset(data.get("options") if isinstance(data, dict) else None)
        if endpoint == "kill":
            return self._kill()
        raise WireError(f"Unknown endpoint: {str(endpoint)[:80]}")

    def _act(self, data: Any) -> Any:
        given, is_batched = self._dialect.observation(data)
        observation = check_observation(self._embodiment, given)
        actions = self._policy.act(observation)
        check_actions(self._embodiment, actions, observation.batch_size)
        return self._dialect.reply(actions, is_batched=is_batched)

    def _kill(self) -> None:
        if not self._options.allows_kill:
            raise WireError("kill: refused: this server was started without --allow-kill")
        self.is_ended = True

    def _is_authorized(self, token: Any) -> bool:
        wanted = self._options.api_token
        if wanted is None:
            return True
        return isinstance(token, str) and hmac.compare_digest(token.encode(), wanted.encode())
