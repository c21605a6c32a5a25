"""The body of a request as a JSON object.

Invariant: every other body is a Refusal with the remedy: 415 for another content type, 400 for another form.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, NoReturn

from starlette.requests import Request

from sage.app.http.replies import Refusal
from sage.errors import InputError
from sage.user_file import describe_json_error


async def read_json_object(request: Request) -> dict[str, Any]:
    """Refusal where it is not one."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type: send application/json")
    return parse_json_object(await request.body())


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Refusal 400 where it is not one."""

    def refuse_constant(name: str) -> NoReturn:
        raise InputError(f"{name} is not JSON")

    try:
        fields = json.loads(body, parse_constant=refuse_constant)
        json.dumps(fields, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        message = f"the body is not JSON: {describe_json_error(error)}"
        raise Refusal(HTTPStatus.BAD_REQUEST, message) from error
    if not isinstance(fields, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, 'the body is not an object: send {"puzzle": "..."}')
    return fields
