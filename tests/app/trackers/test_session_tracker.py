"""A session's figures: which, when, and at the end the rest."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sage.app.cli.main import invoke
from sage.app.trackers.session_figures import SessionFigures
from sage.app.trackers.session_tracker import SessionTracker


class Tracker:
    """The part of BackgroundSink that is used."""

    def __init__(self) -> None:
        self.got: list[tuple[int, dict[str, float]]] = []
        self.is_closed = False

    def log(self, step: int, figures: dict[str, float]) -> None:
        self.got.append((step, figures))

    def notices(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self.is_closed = True


def test_a_session_reports_by_its_own_clock_and_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Tracker] = []

    def opened(*_: object) -> list[Tracker]:
        made.append(Tracker())
        return made

    monkeypatch.setattr("sage.app.session.run.open_trackers", opened)
    command = ["run", "language", "--fast", "--ticks", "90", "--no-live", "--json"]
    settings = ["--set", "tracking.every_secs=0.3", "--state-dir", str(tmp_path), "--track", "tensorboard"]
    assert invoke([*command, *settings]) == 0
    summary = json.loads(capsys.readouterr().out)
    [tracker] = made
    assert tracker.is_closed
    steps = [step for step, _ in tracker.got]
    assert steps[-1] == summary["num_ticks"] == 90
    assert len(steps) > 1
    _, figures = tracker.got[-1]
    assert figures["loop/tick_ms_p50"] > 0
    assert {name.partition("/")[0] for name in figures} >= {"loop", "sources", "coherence", "learning"}
    rates = [figures["loop/rate_hz"] for _, figures in tracker.got]
    assert rates == pytest.approx([rates[0]] * len(rates), rel=0.05)
    trusts = [value for name, value in figures.items() if name.endswith("/trust")]
    assert trusts
    assert all(math.isnan(value) or 0 <= value <= 1 for value in trusts)


def test_there_are_no_figures_before_the_first_tick() -> None:
    with pytest.raises(ValueError, match="note_tick"):
        SessionFigures().take()
    tracker = Tracker()
    SessionTracker([tracker], every_secs=1.0).close()  # type: ignore[list-item]
    assert tracker.is_closed
    assert not tracker.got


def test_an_unknown_tracker_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "language", "--track", "mlflow", "--state-dir", str(tmp_path / "state")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "mlflow" in error
    assert not (tmp_path / "state").exists()
