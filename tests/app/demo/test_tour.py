"""The tour in its shortest form: every step is told with its cost, and what is not shipped is said to be
absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from sage.app.cli.main import invoke
from sage.app.demo import tour


@pytest.fixture(autouse=True)
def log_of_nobody() -> Iterator[None]:
    """A command that quiets the log leaves it configured; the next test must find it as it was."""
    yield
    structlog.reset_defaults()


@pytest.mark.slow
def test_each_step_says_what_it_did_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["demo", "--quick", "--json"])
    reports = json.loads(capsys.readouterr().out)
    assert [report["name"] for report in reports] == list(tour.STEPS)
    assert {report["outcome"] for report in reports} <= {"done", "absent"}, reports
    assert code == 0
    assert all(report["told"] and report["wall_secs"] >= 0 for report in reports)


def test_a_step_that_fails_is_told_and_the_tour_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(_is_quick: bool) -> str:
        raise OSError("no memory\nat all")

    def find_nothing(_is_quick: bool) -> str:
        raise LookupError("no weights: train some")

    monkeypatch.setattr(
        tour, "STEPS", {"break": break_down, "look": find_nothing, "work": lambda _is_quick: "it works"}
    )
    assert invoke(["demo"]) == 1
    printed = capsys.readouterr().out
    assert "== break: failed (" in printed
    assert "no memory at all" in printed
    assert "== look: absent (" in printed
    assert "it works" in printed
