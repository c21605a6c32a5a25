"""Ticks, their stages and nights as spans of a Chrome trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sage.app.cli.main import invoke
from sage.app.session.synthetic import SyntheticSession
from sage.app.session.tracing import LoopTrace
from sage.runtime.report import TickReport

EPOCH_NS = 5_000_000_000


def played(num_ticks: int, capacity: int = 1000) -> tuple[list[dict[str, Any]], list[TickReport]]:
    session = SyntheticSession(num_ticks=num_ticks)
    trace = LoopTrace(lambda: EPOCH_NS, capacity)
    session.play(trace)
    reports = [item for item in SyntheticSession(num_ticks=num_ticks).items() if isinstance(item, TickReport)]
    return [event for event in trace.to_chrome() if event["ph"] == "X"], reports


def test_the_stages_of_a_tick_follow_each_other_within_it() -> None:
    spans, reports = played(50)
    tick = next(span for span in spans if span["name"] == "tick" and span["args"]["tick"] == 7)
    stages = [span for span in spans if span["name"] != "tick" and span["args"].get("tick") == 7]
    report = next(report for report in reports if report.facts.tick == 7)
    assert tick["ts"] == (EPOCH_NS + report.facts.time_ns) / 1e3
    assert tick["dur"] == report.timing.total_ns / 1e3
    assert [span["name"] for span in stages] == [name for name, _ in report.timing.stages]
    at = tick["ts"]
    for span in stages:
        assert abs(span["ts"] - at) < 1e-3
        at += span["dur"]
    assert at <= tick["ts"] + tick["dur"] + 1e-3


def test_a_night_is_a_span_on_a_row_of_its_own() -> None:
    spans, reports = played(100)
    nights = [span for span in spans if span["tid"] != 0]
    assert [span["name"] for span in nights] == ["accepted", "rolled_back"]
    assert len({span["tid"] for span in nights}) == 1
    times = {report.facts.tick: EPOCH_NS + report.facts.time_ns for report in reports}
    assert nights[0]["ts"] >= times[0] / 1e3
    assert all(span["dur"] > 0 for span in nights)


def test_only_the_last_ticks_are_kept() -> None:
    spans, _ = played(100, capacity=10)
    assert [span["args"]["tick"] for span in spans if span["name"] == "tick"] == list(range(90, 100))


CONFIG = "sensors: [{kind: synthetic, name: a, shape: [2]}]"


def run(tmp_path: Path, trace: Path) -> int:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    words = ["--fast", "--ticks", "2", "--no-live", "--state-dir", str(tmp_path / "state")]
    return invoke(["run", str(config), *words, "--trace", str(trace)])


def test_a_folder_is_refused_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path) == 2
    assert f"sage: --trace: {tmp_path}: is a directory: give a writable file" in capsys.readouterr().err


def test_a_write_that_fails_at_the_end_costs_no_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, Path("/dev/full")) == 0
    printed = capsys.readouterr()
    assert "2 ticks" in printed.out
    lost = [line for line in printed.err.splitlines() if "the trace is not written" in line]
    assert ["No space left on device" in line for line in lost] == [True]
