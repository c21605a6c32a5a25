"""Requests drawn from the OpenAPI document, valid and not: none gets a 500, all replies fit the document."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install 'sage-runtime[dev]'")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from sage.app.http.guard import Access, Guard
from sage.app.page.table import ENDPOINTS

CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)
TOKEN = "a-token-for-the-tests-alone"


def fuzz(page: Any, num_examples: int) -> int:
    """How many requests were made. The stream of frames, which has no end, is left out."""
    hosts = frozenset({"127.0.0.1", "localhost", "testserver"})
    app = Guard(page.app._app, Access(token=TOKEN, hosts=hosts, open_methods=frozenset({"GET", "HEAD"})))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    counted: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == "/api/live":
            continue
        run_cases(operation, num_examples, counted)
    return len(counted)


def run_cases(operation: Any, num_examples: int, counted: list[str]) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"} if operation.method == "post" else {}

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
        counted.append(operation.path)
        case.call_and_validate(checks=CHECKS, headers=headers)

    run()


def test_no_request_of_the_document_is_answered_with_500(page) -> None:
    assert fuzz(page, 6) >= len(ENDPOINTS) - 1


@pytest.mark.slow
def test_no_request_of_a_long_run_is_answered_with_500(page) -> None:
    assert fuzz(page, 200) >= 500
