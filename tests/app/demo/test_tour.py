"""`sage demo` in its short form: every step has a result and a cost; weights that are not shipped are
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
def restore_the_log() -> Iterator[None]:
    """The command configures the log; the next test starts with the default."""
    yield
    structlog.reset_defaults()


@pytest.mark.slow
def test_each_step_has_a_result_and_a_cost(capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["demo", "--quick", "--json"])
    reports = json.loads(capsys.readouterr().out)
    assert [report["name"] for report in reports] == list(tour.STEPS)
    assert {report["outcome"] for report in reports} <= {"done", "absent"}, reports
    assert code == 0
    results = {report["name"]: report["result"] for report in reports}
    night = results["run the loop with a night of sleep"]
    assert "a night of sleep: " in night
    assert "skipped" not in night
    assert all(report["result"] and report["wall_secs"] >= 0 for report in reports)


def test_the_steps_after_a_failed_step_run(
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
