"""The OpenAPI 3.1 document of `sage serve`: every route of the API; pages and their files are left out.

Invariant: the fields of /v1/solve are those of SolveSettings, read from it.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, get_args, get_type_hints

from sage.about import __version__
from sage.app.http.solve_request import SolveLimits
from sage.hrm_core.solving.settings import SolveSettings

_FAULTS = {
    400: "the body is not a JSON object",
    401: "the token is missing or wrong",
    403: "the request comes from the page of another site",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body is not application/json",
    421: "Host is not a name of this server",
    422: "a value is wrong; the message names it",
    503: "too many requests wait, or a model's thread has stopped",
    504: "the timeout is over",
}
_TEXT, _NUMBER, _WHOLE, _FLAG = ({"type": each} for each in ("string", "number", "integer", "boolean"))
_OBJECT: dict[str, Any] = {"type": "object"}


@cache
def document() -> dict[str, Any]:
    """For GET /openapi.json."""
    problem = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": _TEXT, "message": _TEXT},
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "SAGE models", "version": __version__},
        "paths": _paths(),
        "security": [{"bearer": []}],
        "components": {
            "schemas": {"Problem": problem},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    models = _query("model", "name of a model", _TEXT)
    seed = _query("seed", "random seed", {**_WHOLE, "minimum": 0, "maximum": 2**31 - 1})
    kind = _query("kind", "kind of example", {"enum": ["easy", "hard"]})
    page = [
        _query("name", "name of a data set", _TEXT, is_required=True),
        _query("side", "half of the data set", {"enum": ["train", "test"]}),
        _query("start", "first example, from 0", {**_WHOLE, "minimum": 0, "maximum": 10**12 - 1}),
        _query("num", "number of examples", {**_WHOLE, "minimum": 1, "maximum": 100}),
        _query("identifier", "part of an identifier's name", _TEXT),
        _query("group", "number of a group", {**_WHOLE, "minimum": 0, "maximum": 10**12 - 1}),
    ]
    health = _object(status=_TEXT, num_failed=_WHOLE)
    return {
        "/healthz": {"get": _operation("Whether every model runs.", health, (503,))},
        "/openapi.json": {"get": _operation("This document.", _OBJECT, ())},
        "/v1/models": {"get": _operation("Models of puzzles.", _object(models={"type": "array"}), ())},
        "/v1/examples": {
            "get": _operation("A puzzle to try.", _object(puzzle=_TEXT), (422,), [models, kind, seed])
        },
        "/v1/solve": {
            "post": _operation("Solve puzzles.", _OBJECT, (422, 503, 504), body=_solve_body(), is_costly=True)
        },
        "/v1/text_models": {"get": _operation("Models of text.", _object(models={"type": "array"}), ())},
        "/v1/generate": {
            "post": _operation(
                "Continue a text.", _OBJECT, (422, 503), body=_generate_body(), is_costly=True, is_stream=True
            )
        },
        "/v1/datasets": {"get": _operation("Data sets.", _object(datasets={"type": "array"}), ())},
        "/v1/datasets/examples": {"get": _operation("A page of examples.", _OBJECT, (422,), page)},
    }


def _operation(
    about: str,
    schema: dict[str, Any],
    faults: tuple[int, ...],
    parameters: list[dict[str, Any]] | None = None,
    *,
    body: dict[str, Any] | None = None,
    is_costly: bool = False,
    is_stream: bool = False,
) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    if is_stream:
        content["application/x-ndjson"] = {"schema": _OBJECT}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    usual = (400, 401, 403, 408, 413, 415, 421) if is_costly else (400, 401, 403, 413, 421)
    operation: dict[str, Any] = {
        "summary": about,
        "responses": {
            "200": {"description": "done", "content": content},
            **{
                str(status): {"description": _FAULTS[status], "content": problem}
                for status in sorted({*usual, *faults})
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _query(name: str, about: str, schema: dict[str, Any], *, is_required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "required": is_required, "schema": schema}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _solve_body() -> dict[str, Any]:
    limits = SolveLimits()
    hints = get_type_hints(SolveSettings)
    settings = {field.name: _schema_of(hints[field.name]) for field in dataclasses.fields(SolveSettings)}
    own = {
        "model": _TEXT,
        "puzzle": _TEXT,
        "puzzles": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": limits.num_puzzles},
        "timeout_secs": {**_NUMBER, "exclusiveMinimum": 0, "maximum": limits.timeout_secs},
        "steps": _FLAG,
    }
    return {
        "type": "object",
        "properties": {**own, **settings},
        "oneOf": [{"required": ["puzzle"]}, {"required": ["puzzles"]}],
        "additionalProperties": False,
    }


def _schema_of(hint: Any) -> dict[str, Any]:
    """Of a field of SolveSettings."""
    plain = {int: _WHOLE, float: _NUMBER, bool: _FLAG}
    if hint in plain:
        return plain[hint]
    choices = get_args(hint)
    if type(None) in choices:
        return {
            "anyOf": [_schema_of(next(each for each in choices if each is not type(None))), {"type": "null"}]
        }
    return {"enum": list(choices)}


def _generate_body() -> dict[str, Any]:
    count = {**_WHOLE, "minimum": 0, "maximum": 2**31 - 1}
    properties = {
        "model": _TEXT,
        "prompt": _TEXT,
        "max_length": count,
        "temperature": {**_NUMBER, "minimum": 0, "maximum": 100},
        "top_k": {**count, "minimum": 1},
        "seed": count,
        "stop": _TEXT,
        "segments": {**count, "minimum": 1, "maximum": 256},
        "stream": _FLAG,
    }
    return {
        "type": "object",
        "required": ["prompt"],
        "properties": properties,
        "additionalProperties": False,
    }
