"""The benchmark's side of prediction: bars, tables and document from made readings whose skill is known."""

from __future__ import annotations

import json
from pathlib import Path

import harness
import numpy as np
import pytest
from _replays import HOST_RECORDING, Replay, write_control
from predict import DATA_SETS, describe, make_bars, score_all, skill_table, summary

from sage.runtime.prediction.predictor import PredictionScored


def replay_of(name: str, coefficient: float, num_rows: int = 600, *, knows: float = 0.0) -> Replay:
    """A source that follows x' = a x + noise, predicted by its own law, with persistence as the skip; with
    a = 0 a random walk, of which persistence is the law.
    """
    generator = np.random.default_rng(0)
    last, events = np.zeros(2), []
    for row in range(num_rows):
        law = coefficient * last if coefficient else last
        actual = law + generator.normal(size=2)
        events.append(
            PredictionScored(
                source="made",
                captured_ns=(row + 1) * 10**8,
                horizon_ns=10**8,
                actual=actual,
                last=last,
                predicted=law + knows * (actual - law),
                skip=last,
                scale=np.ones(2),
            )
        )
        last = actual
    return Replay(name=name, events=tuple(events), gate=0.5, num_steps=3, num_ticks=num_rows)


def test_a_known_law_meets_its_bars() -> None:
    replays = [replay_of("flight", 0.2), replay_of("xio", 0.5)]
    scores = score_all(replays)
    blind = score_all([replay_of("control", 0.0)])["control"]
    bars = make_bars(scores, blind, is_whole=True, is_quick=False)
    assert [bar.is_met for bar in bars] == [True] * 5
    assert all(bar.is_met is None for bar in make_bars(scores, blind, is_whole=True, is_quick=True))
    assert scores["xio"][0].skill["ours"] == pytest.approx(0.25, abs=0.05)
    assert scores["xio"][0].gain == pytest.approx(0.25, abs=0.05)


def test_a_prediction_that_knows_the_reading_misses_the_bar_of_the_control() -> None:
    scores = score_all([replay_of(name, 0.5) for name in DATA_SETS])
    leak = score_all([replay_of("control", 0.0, knows=0.1)])["control"]
    assert leak[0].skill["shuffled"] < 0  # which shuffled predictions do not show
    assert make_bars(scores, leak, is_whole=True, is_quick=False)[-1].is_met is False


def test_the_control_has_nothing_to_predict(tmp_path: Path) -> None:
    with np.load(HOST_RECORDING, allow_pickle=False) as arrays:
        before, columns = arrays["host"], arrays["host__cols"].tolist()
    with np.load(write_control(HOST_RECORDING, tmp_path / "control.npz"), allow_pickle=False) as arrays:
        after = arrays["host"]
        assert arrays["host__cols"].tolist() == columns
    assert np.array_equal(after[:, 0], before[:, 0])
    at = columns.index("cpu0")
    changes = [np.diff(table[:, at]) for table in (before, after)]
    assert set(np.abs(changes[1]).round(9)) <= set(np.abs(changes[0]).round(9))
    related = [np.corrcoef(each[1:], each[:-1])[0, 1] for each in changes]
    assert abs(related[0]) > 0.1
    assert abs(related[1]) < 0.05
    others = np.corrcoef(changes[1], np.diff(after[:, columns.index("process_cpu")]))[0, 1]
    assert abs(others) < 0.05


def test_a_recording_that_is_absent_leaves_the_bars_over_all_owed() -> None:
    replays = [replay_of("flight", 0.5), Replay(name="walk", missing="no such file")]
    bars = make_bars(score_all(replays), [], is_whole=False, is_quick=False)
    assert [bar.is_met for bar in bars if "AR(8)" in bar.name] == [None, None]
    assert bars[-1].is_met is None
    assert "no such file" in skill_table(replays[1], []).title


def test_what_is_told_is_plain_json_with_a_row_a_source() -> None:
    replays = [replay_of(name, 0.5) for name in DATA_SETS]
    scores = score_all(replays)
    report = harness.to_json(
        {"sets": [describe(each, scores[each.name]) for each in replays], "overall": summary(scores)}
    )
    assert [each["name"] for each in report["sets"]] == list(DATA_SETS)
    assert all(each["sources"][0]["is_barred"] for each in report["sets"])
    json.dumps(report, allow_nan=False)
