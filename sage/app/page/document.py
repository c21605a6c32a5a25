"""The OpenAPI 3.1 document, made from the table of routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sage.about import __version__
from sage.app.page.table import Endpoint, Parameter

MAX_REASON_CHARS = 200
_ANY_OBJECT = {"type": "object"}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
#: Replies without a body.
_EMPTY = {204: "there is no reading yet", 304: "the file is the one that If-None-Match names"}
_FAULTS = {
    400: "a parameter or the body is wrong",
    401: "no token",
    403: "the request comes from the page of another site",
    404: "there is no such thing in the session",
    408: "the body did not arrive in time",
    409: "the session has no such command now, or refused it",
    413: "the body is too large",
    415: "the body is not application/json",
    421: "the Host header has not the name of this server",
    503: "no tick has ended yet, or too many streams are open",
}


def describe(endpoints: Sequence[Endpoint], more: Mapping[str, Any]) -> dict[str, Any]:
    """more: the operations of other paths, as OpenAPI has them."""
    paths: dict[str, Any] = dict(more)
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "SAGE session", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _problem(), "Control": _control()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    common = (400, 401, 403, 408, 409, 413, 415, 421) if endpoint.changes_state else (400, 403, 421, 503)
    faults = (*common, *(status for status in endpoint.more_statuses if status in _FAULTS))
    described: dict[str, Any] = {
        "summary": endpoint.about,
        "responses": {
            "200": {"description": "done", "content": {endpoint.media: {"schema": _schema(endpoint)}}},
            **{
                str(status): {
                    "description": _FAULTS[status],
                    "content": {"application/json": {"schema": _PROBLEM}},
                }
                for status in faults
            },
            **{
                str(status): {"description": about}
                for status, about in _EMPTY.items()
                if status in endpoint.more_statuses
            },
        },
    }
    if endpoint.parameters:
        described["parameters"] = [_parameter(each) for each in endpoint.parameters]
    if endpoint.changes_state:
        schema = {"$ref": "#/components/schemas/Control"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        described["security"] = [{"bearer": []}]
    return described


def _schema(endpoint: Endpoint) -> dict[str, Any]:
    return _ANY_OBJECT if endpoint.media == "application/json" else {"type": "string"}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    if parameter.kind == "names":
        schema: dict[str, Any] = text
    elif parameter.kind == "name":
        schema = {"type": "array", "items": text}
    else:
        schema = {"type": parameter.kind, "minimum": parameter.low, "maximum": parameter.high}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": parameter.about,
    }


def _problem() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        "required": ["code", "message"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _control() -> dict[str, Any]:
    reason = {"type": "string", "maxLength": MAX_REASON_CHARS, "description": "For the audit log."}
    return {"type": "object", "properties": {"reason": reason}, "additionalProperties": False}
