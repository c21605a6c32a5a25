"""The OpenAPI 3.1 document of the service, made from the classes of its requests and replies.

Invariant: it names every endpoint, field and limit that the service checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from sage.about import __version__
from sage.related_work.totality.content import Content
from sage.related_work.totality.messages import (
    MAX_PAGE,
    ActivateReply,
    ActivateRequest,
    HealthReply,
    ImagineReply,
    ImagineRequest,
    PersistReply,
    ProblemReply,
    ReadReply,
    RestoreReply,
    RestoreRequest,
    SleepCycleReply,
    SleepCycleRequest,
    SnapshotReply,
    WriteReply,
    WriteRequest,
)

#: method, path, request, reply, statuses of errors, summary.
_Endpoint = tuple[str, str, "type[Content] | None", "type[Content]", tuple[int, ...], str]
_ENDPOINTS: tuple[_Endpoint, ...] = (
    ("get", "/health", None, HealthReply, (), "Whether the service answers, and its time."),
    ("get", "/totality/read", None, ReadReply, (400,), "Schemes and canvases, in pages."),
    ("get", "/totality/snapshot", None, SnapshotReply, (400,), "The whole store."),
    (
        "post",
        "/totality/imagine",
        ImagineRequest,
        ImagineReply,
        (400, 404, 409),
        "Make canvases from schemes by operations.",
    ),
    (
        "post",
        "/totality/activate",
        ActivateRequest,
        ActivateReply,
        (400, 404, 409),
        "Raise or lower activations, which spread over links and decay.",
    ),
    (
        "post",
        "/totality/write",
        WriteRequest,
        WriteReply,
        (400, 404, 409),
        "Write schemes: merge, append or replace.",
    ),
    (
        "post",
        "/totality/restore",
        RestoreRequest,
        RestoreReply,
        (400, 404, 409),
        "Replace the store by a snapshot.",
    ),
    ("post", "/totality/persist", None, PersistReply, (400, 409, 507), "Write a snapshot file now."),
    (
        "post",
        "/totality/sleep-cycle",
        SleepCycleRequest,
        SleepCycleReply,
        (400, 404, 409),
        "Imagine from active schemes and commit what observed schemes support.",
    ),
)
_FAULTS = {
    400: "a value, a field or an operation is wrong",
    401: "no token",
    404: "no scheme, canvas or snapshot of this id",
    408: "the body did not arrive in time",
    409: "another version, or nothing that could be made",
    413: "the body is too large",
    503: "applied, but not on the disk in time",
    507: "the disk is full",
}


def describe(*, operations: Sequence[str]) -> dict[str, Any]:
    """The document. operations: names of the registered ones."""
    kinds: list[type[Content]] = [ProblemReply]
    for _, _, request, answer, _, _ in _ENDPOINTS:
        kinds += [answer] if request is None else [request, answer]
    schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )[1]["$defs"]
    schemas["OpCall"]["properties"]["op"]["enum"] = list(operations)
    paths: dict[str, Any] = {}
    for endpoint in _ENDPOINTS:
        paths.setdefault(endpoint[1], {})[endpoint[0]] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "SAGE Totality", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _operation(endpoint: _Endpoint) -> dict[str, Any]:
    _, path, request, answer, faults, summary = endpoint
    statuses = faults if path == "/health" else (*faults, 401, 408, 413, *((503,) if request else ()))
    described: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "done", "content": _content(answer)},
            **{
                str(status): {"description": _FAULTS[status], "content": _content(ProblemReply)}
                for status in statuses
            },
        },
    }
    if request is not None:
        described["requestBody"] = {"required": True, "content": _content(request)}
    if path == "/totality/read":
        described["parameters"] = _READ_PARAMETERS
    if path == "/health":
        described["security"] = []
    return described


def _content(kind: type[Content]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}


def _parameter(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": about}


_READ_PARAMETERS = [
    _parameter("activation_min", {"type": "number", "minimum": 0, "maximum": 1}, "Lowest activation."),
    _parameter("since", {"type": "string", "maxLength": 64}, "Changed since: ISO 8601, or unix seconds."),
    _parameter("scope", {"enum": ["all", "schemes", "canvases"]}, "What to read."),
    _parameter("order", {"enum": ["changed", "activation"]}, "By change, or the most active first."),
    _parameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, "Most schemes and canvases."),
    _parameter("cursor", {"type": "string", "pattern": "^[0-9]{1,18}$"}, "Of the page before."),
]
