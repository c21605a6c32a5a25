"""Killed and stopped processes around a shared ring and a shared pool: survivors go on, every byte is right, accounts close.

Each runs in a process of its own (`soak`, `kills`), which raises with the reason when anything was wrong.
"""

from __future__ import annotations

import pytest
from _mailbox_kills import REAPED, SCENES, kills
from _mailbox_soak import SoakPlan, soak


@pytest.mark.parametrize("mode", ["lossy", "lossless"])
def test_a_stream_survives_kills_and_stops(mode: str) -> None:
    told = soak(SoakPlan(mode=mode, num_messages=30_000, num_kills=12, max_secs=60.0, seed=7))
    assert told["num_pushed"] >= 30_000
    assert told["num_kills"] >= 12
    assert all(delivered + lost == told["num_pushed"] for delivered, lost in zip(told["delivered"], told["lost"]))
    if mode == "lossless":
        assert told["lost"] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lossy", "lossless"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_million_records_survive_a_hundred_kills(mode: str, seed: int) -> None:
    told = soak(SoakPlan(mode=mode, num_messages=1_000_000, num_kills=100, seed=seed))
    assert told["num_pushed"] >= 1_000_000
    assert told["num_kills"] >= 100


def test_what_a_killed_process_held_or_waited_for_stops_nobody() -> None:
    waited = kills(num_each=2, seed=3)
    assert set(waited) == set(SCENES) >= set(REAPED)
    assert all(len(each) == 2 for each in waited.values())
