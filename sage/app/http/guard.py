"""Access control in front of the routes: Host, Origin, bearer token, size of the body.

Invariant: a request without access is refused before its body is read. Host stops DNS rebinding, Origin stops
pages of other sites, the token stops other users. Starlette's TrustedHostMiddleware is not used: it answers
in plain text with 400, and reads IPv6 addresses in recent versions only.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sage.app.http.replies import Refusal, refuse
from sage.errors import InputError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
#: Sent with every reply, unless a route sets them.
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """token: the bearer token that clients send; None: none is needed.  hosts: allowed names in Host, lower
    case, no port.
    open_paths: served without a token.  open_methods: methods that need none on any path but closed_paths.
    max_body_bytes, body_timeout_secs: limits of a request's body.
    larger_bodies: path -> bytes, in place of max_body_bytes."""

    token: str | None
    hosts: frozenset[str] = LOOPBACK
    open_paths: frozenset[str] = frozenset({"/healthz"})
    open_methods: frozenset[str] = frozenset()
    closed_paths: frozenset[str] = frozenset()
    max_body_bytes: int = 1 << 20
    body_timeout_secs: float = 10.0
    larger_bodies: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < 16:
            raise InputError(f"token has {len(self.token)} characters: give 16 or more, at random")
        if not self.hosts:
            raise InputError("hosts is empty: give at least one name")

    def body_limit(self, path: str) -> int:
        """In bytes."""
        return self.larger_bodies.get(path, self.max_body_bytes)


class Guard:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # no route uses websockets
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._access, self._access.body_limit(scope["path"]))
        try:
            self.check(Headers(scope=scope), scope["path"], scope["method"])
            await self._app(scope, body.receive, _with_headers(send))
        except Refusal as refusal:  # also the body's: it is read before a reply begins
            await refuse(refusal)(scope, receive, _with_headers(send))

    def check(self, headers: Mapping[str, str], path: str, method: str) -> None:
        """Raise a Refusal; checked in this order: Host, Origin, token, size."""
        access = self._access
        if host_name(headers.get("host", "")) not in access.hosts:
            raise Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "Host: not a name of this server: add it with --allow-host",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin):
            raise Refusal(HTTPStatus.FORBIDDEN, "Origin: pages of other sites have no access")
        is_open = path in access.open_paths or (
            method in access.open_methods and path not in access.closed_paths
        )
        if access.token is not None and not is_open and not self._has_token(headers.get("authorization", "")):
            challenge = {"www-authenticate": 'Bearer realm="sage"'}
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "Authorization: send 'Bearer TOKEN'; the token is in STATE_DIR/http.token",
                challenge,
            )
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length: not a number")
        if int(length[:20]) > access.body_limit(path):
            raise _too_large(access.body_limit(path))

    def _is_own(self, origin: str) -> bool:
        scheme, separator, host = origin.partition("://")
        return bool(separator) and scheme in ("http", "https") and host_name(host) in self._access.hosts

    def _has_token(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        own = (self._access.token or "").encode()
        is_same = hmac.compare_digest(token.strip().encode("utf-8", "replace"), own)
        return is_same and scheme.lower() == "bearer"


class _Body:
    """A request's body within its limits; messages after it (a disconnect) have no limit of time."""

    def __init__(self, receive: Receive, access: Access, max_bytes: int) -> None:
        self._receive = receive
        self._access = access
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._is_whole = False
        self._deadline_secs: float | None = None

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._deadline_secs is None:
            self._deadline_secs = now + self._access.body_timeout_secs
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline_secs - now))
        except asyncio.TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body did not arrive in time: send it at once",
                {"connection": "close"},
            ) from None
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._is_whole = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


def host_name(host: str) -> str:
    """`127.0.0.1` of "127.0.0.1:80", `::1` of "[::1]:80"; lower case, without the dot of a full name."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def _too_large(max_bytes: int) -> Refusal:
    message = f"the body is over {max_bytes} bytes: send less at a time"
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, {"connection": "close"})


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
