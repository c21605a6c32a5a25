"""The OpenAPI document, the routes, and the guard before every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sage.app.http.document import document
from sage.app.http.files import FILE_PATHS
from sage.app.http.guard import Access
from sage.app.http.models import ServedModels
from sage.app.http.routes import create_app
from sage.hrm_core.datasets.layout import write_identifiers, write_ungrouped

TOKEN = "a-token-for-the-tests-alone"
HEADERS = {"host": "127.0.0.1:8765", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
OPEN = {"/healthz", "/openapi.json"}
PATHS = document()["paths"]
#: Every route of the API: path, method, and whether it has a body.
ROUTES = [
    (path, method.upper(), "requestBody" in operation)
    for path, operations in PATHS.items()
    for method, operation in operations.items()
]


def test_the_document_lists_every_route_of_the_api(caller: Any) -> None:
    served = {
        (route.path, method)
        for route in caller.app._app.routes
        for method in route.methods - {"HEAD"}
        if route.path not in FILE_PATHS
    }
    assert served == {(path, method) for path, method, _ in ROUTES}
    assert caller.ask("GET", "/openapi.json", headers={"host": "localhost"}).json == document()
    assert {path for path, _, _ in ROUTES if caller.app._access.open_paths >= {path}} == OPEN


@pytest.mark.parametrize(("path", "method", "has_body"), ROUTES)
def test_every_route_is_behind_the_guard(path: str, method: str, has_body: bool, caller: Any) -> None:
    def status(**changed: str | None) -> int:
        headers = {name: value for name, value in {**HEADERS, **changed}.items() if value is not None}
        return int(caller.ask(method, path, headers=headers, said={} if has_body else None).status)

    if path not in OPEN:
        assert status(authorization=None) == 401
        assert status(authorization=f"Bearer {TOKEN}x") == 401
    assert status(host="elsewhere.example") == 421
    assert status(origin="http://elsewhere.example") == 403
    assert status(**{"content-length": str((1 << 20) + 1)}) == 413
    other = {"GET": "POST", "POST": "GET"}[method]
    assert caller.ask(other, path).status == 405
    if has_body:
        assert caller.ask(method, path, parts=[b"x" * ((1 << 20) + 1)]).status == 413
        assert status(**{"content-type": "text/plain"}) == 415
        for malformed in (b"", b"{", b"[]", b"\xff", b'{"prompt": NaN}', b"[" * 100_000):
            assert caller.ask(method, path, parts=[malformed]).status == 400


@pytest.fixture
def app(models: ServedModels, tmp_path: Path) -> Iterator[Any]:
    for side in ("train", "test"):
        write_ungrouped(
            tmp_path / "set" / side,
            np.ones((3, 16), np.uint8),
            np.ones((3, 16), np.uint8),
            vocab_size=6,
            forms=1,
        )
    write_identifiers(tmp_path / "set", [])
    hosts = frozenset({"127.0.0.1", "localhost", "testserver"})
    return create_app(models, Access(token=TOKEN, hosts=hosts), data_folders=[tmp_path])


def fuzz(app: Any, num_examples: int) -> int:
    """How many requests were made."""
    pytest.importorskip(
        "schemathesis", reason="schemathesis is not installed: pip install 'sage-runtime[dev]'"
    )
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    checks = (not_a_server_error, status_code_conformance, response_schema_conformance)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    num_made = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=num_examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy())
        def run(case: Any) -> None:
            nonlocal num_made
            num_made += 1
            case.call_and_validate(checks=checks, headers={"authorization": f"Bearer {TOKEN}"})

        run()
    return num_made


def test_no_request_of_the_document_is_answered_with_500(app: Any) -> None:
    assert fuzz(app, 4) >= len(ROUTES)


@pytest.mark.slow
def test_no_request_of_a_long_run_is_answered_with_500(app: Any) -> None:
    assert fuzz(app, 200) >= 500
