"""Nights against practice on made readings whose gain is known, and a short life of a real recording."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import _sleep_recordings
import numpy as np
import pytest
import sleep
from _scoring import Stream
from _sleep_recordings import Life, Pair, PairFile, PairRecord, compare


def stream_of(source: str, error: float, *, secs: float = 60.0) -> Stream:
    """A walk of steps of size 1, each predicted with this error."""
    time_secs = np.arange(1.0, secs, 0.1)
    steps = np.where(np.random.default_rng(1).random((len(time_secs), 2)) < 0.5, -1.0, 1.0)
    actual = np.cumsum(steps, axis=0)
    forecast = actual + error
    return Stream(
        source=source,
        time_secs=time_secs,
        horizon_secs=np.full(len(time_secs), 0.1),
        actual=actual,
        last=actual - steps,
        ours=forecast,
        skip=forecast,
        scale=np.ones(2),
    )


def pair_of(practice: float, nights: float, seed: int = 0) -> PairRecord:
    lives = [
        Life(
            streams=tuple(stream_of(source, error) for source in ("a", "b")),
            nights=(),
            num_practice_steps=0,
            cpu_secs=0.0,
        )
        for error in (practice, nights)
    ]
    pair = Pair(seed=seed, practice=lives[0], nights=lives[1])
    return PairRecord.of("xio", pair, 60.0, [])


@pytest.mark.parametrize(("practice", "nights"), [(0.8, 0.4), (0.4, 0.8), (0.5, 0.5)])
def test_a_known_gain_is_found_with_its_sign(practice: float, nights: float) -> None:
    found = compare([pair_of(practice, nights, seed) for seed in range(3)], np.random.default_rng(0))
    assert found is not None
    gain = 1 - nights**2 / practice**2
    assert found.gain == pytest.approx(gain)
    assert (found.low, found.high) == pytest.approx((gain, gain))
    assert found.skill_practice == pytest.approx(1 - practice**2)
    assert found.skill_nights == pytest.approx(1 - nights**2)
    assert found.num_sources == 2


def test_seeds_that_differ_widen_the_interval() -> None:
    pairs = [pair_of(0.5, 0.4, 0), pair_of(0.5, 0.6, 1)]
    found = compare(pairs, np.random.default_rng(0))
    assert found is not None
    assert found.low < 0 < found.high


def test_the_share_of_readings_that_the_model_predicts_is_stated() -> None:
    linear = stream_of("a", 0.5)
    half = dataclasses.replace(linear, ours=linear.skip + (np.arange(len(linear.actual)) % 2)[:, None])
    life = Life(streams=(linear, half), nights=(), num_practice_steps=0, cpu_secs=0.0)
    assert life.model_share == pytest.approx(0.25, abs=0.01)
    pair = PairRecord.of("xio", Pair(seed=0, practice=life, nights=life), 60.0, [])
    assert _sleep_recordings._row("xio", [pair], None)[-2] == "25%"
    older = dataclasses.replace(pair, model_share={})
    assert _sleep_recordings._row("xio", [older], None)[-2] == "-"


def test_without_a_scored_source_there_is_no_figure() -> None:
    nothing = Life(streams=(), nights=(), num_practice_steps=0, cpu_secs=0.0)
    pair = PairRecord.of("xio", Pair(seed=0, practice=nothing, nights=nothing), 60.0, [])
    assert compare([pair], np.random.default_rng(0)) is None


def test_a_pair_is_lived_once_and_read_from_its_file_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a kill cut the last line; another setting is another pair."""
    lived: list[int] = []

    def live_pair(name: str, seed: int, settings: list[str], secs: float) -> Pair:
        lived.append(seed)
        lives = [
            Life(streams=(stream_of("a", error),), nights=(), num_practice_steps=7, cpu_secs=1.5)
            for error in (0.5, 0.4)
        ]
        return Pair(seed=seed, practice=lives[0], nights=lives[1])

    monkeypatch.setattr(_sleep_recordings, "live_pair", live_pair)
    path = tmp_path / "runs.jsonl"
    first = [PairFile(path).pair("xio", seed, [], is_quick=False) for seed in (0, 1)]
    whole = path.read_text()
    path.write_text(whole[:-9])
    again = PairFile(path)
    assert [again.pair("xio", seed, [], is_quick=False) for seed in (0, 1)] == first
    assert lived == [0, 1, 1]
    assert path.read_text() == whole
    again.pair("xio", 0, ["practice.enabled=false"], is_quick=False)
    again.pair("host", 0, [], is_quick=False)
    assert lived == [0, 1, 1, 0, 0]


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"way": "naive"}\n')
    with pytest.raises(SystemExit, match="no pairs of lives"):
        PairFile(path)


def test_an_unknown_recording_is_one_line() -> None:
    ran = subprocess.run(
        [sys.executable, sleep.__file__, "--suite", "recordings", "--recordings", "boat"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode != 0
    assert ran.stderr.strip() == "sleep: --recordings boat: give some of flight, xio, host"


@pytest.mark.slow
def test_a_quick_life_prints_its_nights(recordings: Path) -> None:
    ran = subprocess.run(
        [sys.executable, sleep.__file__, "--suite", "recordings", "--recordings", "flight", "--quick"],
        capture_output=True,
        text=True,
        check=True,
    )
    whole = json.loads(ran.stdout.splitlines()[-1])
    (life,) = whole["results"]["recordings"]["flight"]["lives"]
    assert life["nights"]
    spent = sum(night["num_steps"] for night in life["nights"])
    assert life["practice_steps"]["practice"] == life["practice_steps"]["nights"] + spent
