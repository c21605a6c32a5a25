"""The benchmark of start-up: a quick run's document."""

from __future__ import annotations

import json

import pytest

from sage.app.cli.main import invoke


@pytest.mark.slow
def test_a_quick_run_ends_in_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["bench", "startup", "--quick"]) == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert document["bench"] == "startup"
    assert document["bars"]
