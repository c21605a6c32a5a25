"""The harness: bars, the document, and what is kept."""

from __future__ import annotations

import json

import harness
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("value", "better", "is_met"),
    [
        (0.9, "higher", False),
        (1.0, "higher", True),
        (1.1, "lower", False),
        (None, "lower", None),
        (float("nan"), "lower", False),
    ],
)
def test_a_bar_is_met_missed_or_owed(value: float | None, better: str, is_met: bool | None) -> None:
    assert harness.Bar(name="x", value=value, bar=1.0, better=better).is_met is is_met


def test_the_document_has_its_keys_and_only_plain_values() -> None:
    bars = [harness.Bar(name="x", value=1.0, bar=0.0, better="higher")]
    results = {"skill": np.float64(0.5), "none": float("nan"), "rows": np.arange(2)}
    whole = harness.document("made", results, bars, peers=["no-such-peer"])
    assert set(whole) == {"bench", "commit", "hardware", "versions", "results", "bars"}
    assert json.loads(json.dumps(whole, allow_nan=False))["results"] == {
        "skill": 0.5,
        "none": None,
        "rows": [0, 1],
    }
    assert whole["versions"]["no-such-peer"] is None
    assert whole["bars"] == [{"name": "x", "value": 1.0, "bar": 0.0, "better": "higher", "met": True}]


def test_the_document_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    whole = harness.document("made", {}, [])
    harness.finish(whole, [harness.bars_table([])], is_saved=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == whole


def test_what_is_kept_is_named_after_bench_hardware_and_day(tmp_path) -> None:
    whole = harness.document("made", {}, [])
    table = harness.TextTable(title="T", columns=("a", "b"), rows=(("1", "2"),))
    path = harness.save(whole, [table], notes="Why.", folder=tmp_path)
    assert path.name.startswith(f"made_{harness.hardware_slug(whole['hardware'])}_20")
    assert json.loads(path.read_text()) == whole
    assert "| 1 | 2 |" in path.with_suffix(".md").read_text()


def test_hardware_is_named_by_its_gpu_or_its_cores() -> None:
    assert (
        harness.hardware_slug({"gpu": "NVIDIA H100 80GB", "machine": "x86_64", "cores": 2})
        == "nvidia-h100-80gb"
    )
    assert harness.hardware_slug({"gpu": None, "machine": "x86_64", "cores": 2}) == "x86-64-2core"
