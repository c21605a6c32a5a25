"""Replies: JSON, and errors as {"error": {"code", "message"}}.

Invariant: a client's error is one line with the remedy; a defect of the server shows no internals.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sage.errors import SageError


class Refusal(SageError):
    """A request that is refused: the status and the message of the reply."""

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, " ".join(message.split()), headers or {}


def reply(
    content: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    body = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def refuse(refusal: Refusal) -> Response:
    code = refusal.status.phrase.lower().replace(" ", "_")
    return reply({"error": {"code": code, "message": refusal.message}}, refusal.status, refusal.headers)


async def refuse_raised(request: Request, error: Exception) -> Response:
    """Starlette's handler of a Refusal, an HTTPException (404, 405), a client that is gone in the middle of
    its request, or any other exception (500), which the server logs.
    """
    if isinstance(error, Refusal):
        return refuse(error)
    if isinstance(error, ClientDisconnect):
        return refuse(Refusal(HTTPStatus.BAD_REQUEST, "the client disconnected"))
    status = HTTPStatus(getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR))
    path = request.url.path[:128]
    if status is HTTPStatus.NOT_FOUND:
        message = f"{path}: not found: GET /openapi.json lists the paths"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{request.method} {path}: method not allowed: GET /openapi.json lists the methods"
    else:
        message = "internal error: see the log"
    return refuse(Refusal(status, message, dict(getattr(error, "headers", None) or {})))


#: Of every application.
HANDLERS: dict[Any, Any] = {
    kind: refuse_raised for kind in (Refusal, HTTPException, ClientDisconnect, Exception)
}
