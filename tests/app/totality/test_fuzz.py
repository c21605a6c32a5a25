"""Requests drawn from the OpenAPI document, valid and not: none gets a 500, all replies fit the document."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install 'sage-runtime[dev]'")
pytest.importorskip("starlette", reason="the extra web is not installed")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from sage.app.http.guard import Access
from sage.app.totality.examples import write_examples
from sage.app.totality.routes import OPEN_PATHS, Served, create_app
from sage.mailbox.clock import ManualClock
from sage.related_work.totality.store import TotalityStore
from sage.related_work.totality.wall_time import WallClock

CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)


def fuzz(num_examples: int) -> int:
    """How many requests were made."""
    clock = ManualClock(1_700_000_000_000_000_000)
    store = TotalityStore(clock.now_ns)
    write_examples(store, clock.now_ns())
    served = Served(store=store, clock=WallClock(clock))
    hosts = frozenset({"127.0.0.1", "localhost", "testserver"})
    app = create_app(served, Access(token=None, hosts=hosts, open_paths=OPEN_PATHS))
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
            case.call_and_validate(checks=CHECKS)

        run()
    return num_made


def test_no_request_of_the_document_is_answered_with_500() -> None:
    assert fuzz(15) >= 9


@pytest.mark.slow
def test_no_request_of_a_long_run_is_answered_with_500() -> None:
    assert fuzz(500) >= 2000
