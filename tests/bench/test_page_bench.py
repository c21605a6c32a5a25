"""The benchmark of the page: a quick run's document."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from sage.app.cli.main import invoke


@pytest.mark.slow
def test_a_quick_run_ends_in_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["bench", "page", "--quick"]) == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert document["bench"] == "page"
    arms = document["results"]
    assert arms["server, 50 clients"]["n"] == arms["no server"]["n"] == 800
    assert arms["server, 50 clients"]["bytes_sent"] > 50_000
    assert arms["server, no client"]["bytes_sent"] == 0
    assert [bar["bar"] for bar in document["bars"]] == [1.05, 1.0]
