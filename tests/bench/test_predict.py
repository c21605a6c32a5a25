"""The benchmark's side of prediction: bars, tables and document from made readings whose skill is known."""

from __future__ import annotations

import json

import harness
import numpy as np
import pytest
from _replays import Replay
from predict import DATA_SETS, describe, make_bars, score_all, skill_table, summary

from sage.runtime.prediction.predictor import PredictionScored


def replay_of(name: str, coefficient: float, num_rows: int = 600) -> Replay:
    """A source that follows x' = a x + noise, predicted by its own law, with persistence as the skip."""
    generator = np.random.default_rng(0)
    last, events = np.zeros(2), []
    for row in range(num_rows):
        actual = coefficient * last + generator.normal(size=2)
        events.append(
            PredictionScored(
                source="made",
                captured_ns=(row + 1) * 10**8,
                horizon_ns=10**8,
                actual=actual,
                last=last,
                predicted=coefficient * last,
                skip=last,
                scale=np.ones(2),
            )
        )
        last = actual
    return Replay(name=name, events=tuple(events), gate=0.5, num_steps=3, num_ticks=num_rows)


def test_a_known_law_meets_its_bars() -> None:
    replays = [replay_of("flight", 0.2), replay_of("xio", 0.5)]
    scores = score_all(replays)
    bars = make_bars(scores, is_whole=True)
    assert [bar.is_met for bar in bars] == [True] * 5
    assert scores["xio"][0].skill["ours"] == pytest.approx(0.25, abs=0.05)
    assert scores["xio"][0].gain == pytest.approx(0.25, abs=0.05)


def test_a_recording_that_is_absent_leaves_the_bars_over_all_owed() -> None:
    replays = [replay_of("flight", 0.5), Replay(name="walk", missing="no such file")]
    bars = make_bars(score_all(replays), is_whole=False)
    assert [bar.is_met for bar in bars if "AR(8)" in bar.name] == [None, None]
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
